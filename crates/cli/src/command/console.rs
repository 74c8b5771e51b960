//! `console`: prints a link to the console of the server.

use serde::Deserialize;
use serde_json::json;

use super::Context;
use crate::{client::read, error::CliError};

/// A code that signs a browser in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Code {
    code: String,
    expires_in_seconds: u64,
}

pub(super) async fn console(context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let code: Code = read(&client.console_code().await?)?;
    let url = link(client.url(), &code.code);
    context.terminal.note(&format!("works once, within {} minutes:", code.expires_in_seconds / 60));
    let value = json!({"url": url, "expiresInSeconds": code.expires_in_seconds});
    context.terminal.result(&value, &url)
}

/// The URL that signs in with this code. What follows the `#` is in no request.
pub(super) fn link(server: &str, code: &str) -> String {
    format!("{server}/#code={code}")
}
