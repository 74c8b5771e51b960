//! What `runner-transfer` is to do.

use std::fmt;

use runner::protocol::files::{Bytes, FileAction};
use serde::{Deserialize, Serialize};

/// A request for files of a shell, as JSON on the standard input of the program. `Debug` shows neither the path
/// nor the URL, which is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// As in [`FileRequest`](runner::protocol::files::FileRequest).
    pub path: Bytes,
    pub action: FileAction,
    /// A URL for the object with the bytes: to get it for `Write` and `Unpack`, to put it for `Read` and `Pack`,
    /// and none for the other actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("action", &self.action).finish_non_exhaustive()
    }
}
