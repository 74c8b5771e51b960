//! The product from outside, as a user's program sees it: requests to the HTTP API, and a receiver of
//! webhooks. Bodies are plain JSON and signatures are checked by the crate `standardwebhooks`: what is
//! tested is the documentation, not the server's own types.

mod api;
mod webhook_sink;

pub use api::{Client, Response, Server, http_client, text};
pub use webhook_sink::{WebhookCall, WebhookSink};
