//! What a function tells Lambda about a batch.

use serde::Serialize;

/// The items that failed. A queue delivers them again, and no others; a stream is read again from the first of them
/// on.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchResponse {
    pub(super) batch_item_failures: Vec<ItemFailure>,
}

/// An item that failed, by its message id or its sequence number.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemFailure {
    pub(super) item_identifier: String,
}
