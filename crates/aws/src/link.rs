//! The connections that runners open to the WebSocket API of the deployment.
//!
//! The table has for each task an item with the connection that it opened last and one for each request that
//! its runner has not confirmed, and the key of all tokens.

use std::fmt;

use ::link::frame::{TOKEN_VARIABLE, URL_VARIABLE};
use domain::ports::BackendError;

mod connections;
mod key;
mod requests;
mod shell;
mod token;

pub use connections::{Admission, Connection, Connections};
pub use key::TokenKey;
pub use shell::LinkShell;
pub use token::{Claims, TokenError};

/// What tasks are told about the connection that they must open.
#[derive(Clone)]
pub struct LinkLaunch {
    /// The URL of the WebSocket API.
    pub url: String,
    pub key: TokenKey,
    /// Whether ECS Exec is turned on too, for terminals.
    pub terminals: bool,
}

impl LinkLaunch {
    /// The variables of a task that is started by this request, for its connection. The same for the same request.
    pub(crate) async fn variables(
        &self,
        started_by: &str,
        launch: &str,
    ) -> Result<[(&'static str, String); 2], BackendError> {
        let claims = Claims::first(started_by, launch);
        let token = claims.sign(&self.key.bytes().await?);
        Ok([(URL_VARIABLE, self.url.clone()), (TOKEN_VARIABLE, token)])
    }
}

impl fmt::Debug for LinkLaunch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkLaunch").field("url", &self.url).finish_non_exhaustive()
    }
}
