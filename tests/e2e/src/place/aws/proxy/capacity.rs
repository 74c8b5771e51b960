//! The capacity units that DynamoDB consumes, which it reports if a request asks for them.

use axum::body::Bytes;
use serde_json::{Value, json};

/// Capacity units of the table and its indexes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Units {
    pub(crate) read: f64,
    pub(crate) written: f64,
}

/// The request, which also asks for the units.
pub(super) fn request(body: &Bytes) -> Bytes {
    let Ok(Value::Object(mut request)) = serde_json::from_slice(body) else { return body.clone() };
    request.insert("ReturnConsumedCapacity".to_owned(), json!("TOTAL"));
    Value::Object(request).to_string().into()
}

/// The units in the response to this operation.
pub(super) fn consumed(operation: &str, response: &Bytes) -> Units {
    let response: Value = serde_json::from_slice(response).unwrap_or_default();
    let tables = &response["ConsumedCapacity"];
    // Operations on several tables return a list.
    let tables = tables.as_array().map_or(std::slice::from_ref(tables), Vec::as_slice);
    let mut units: f64 = tables.iter().filter_map(|table| table["CapacityUnits"].as_f64()).sum();
    if operation == "BatchGetItem" && units == 0.0 {
        // The emulator does not count them. Each item is read consistently, and is smaller than 4 KiB.
        let found = response["Responses"].as_object().into_iter().flat_map(|all| all.values());
        units = found.filter_map(Value::as_array).map(|items| items.len() as f64).sum();
    }
    match operation {
        "GetItem" | "BatchGetItem" | "Query" => Units { read: units, written: 0.0 },
        _ => Units { read: 0.0, written: units },
    }
}
