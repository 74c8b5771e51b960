//! The shell of a client: started when it is first needed, stopped when the client ends.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::{runtime::Handle, sync::Mutex};

use crate::{api::Requests, error::ToolError};

/// When the shell ends by itself if nothing could stop it. Seconds without a command.
const IDLE_TIMEOUT: u64 = 30 * 60;

/// The shell of one client. Dropping it stops the shell, if a runtime is left to do so.
pub(crate) struct OwnShell {
    api: Requests,
    /// The body of its start request.
    start: Value,
    /// The id of the shell, if it was started.
    id: Arc<Mutex<Option<String>>>,
}

/// A shell in which a tool works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) id: String,
    /// The client's earlier shell, which had ended.
    pub(crate) replaced: Option<String>,
}

impl OwnShell {
    /// A shell that starts with these options of the API.
    pub(crate) fn new(api: Requests, mut options: Map<String, Value>) -> Self {
        options.entry("idleTimeoutSeconds").or_insert(IDLE_TIMEOUT.into());
        options.insert("metadata".to_owned(), json!({"startedBy": "mcp"}));
        Self { api, start: options.into(), id: Arc::default() }
    }

    /// The id of the shell, if it was started.
    pub(crate) async fn started(&self) -> Option<String> {
        self.id.lock().await.clone()
    }

    /// The id of the shell, which is started if there is none.
    async fn id(&self) -> Result<String, ToolError> {
        let (api, start) = (self.api.clone(), self.start.clone());
        let mut id = Arc::clone(&self.id).lock_owned().await;
        // A call that is cancelled must not leave a shell that nothing knows.
        let started = tokio::spawn(async move {
            if let Some(id) = &*id {
                return Ok(id.clone());
            }
            let accepted = api.post("/shell/start", &start).await?;
            let session = accepted["sessionId"].as_str().ok_or_else(ToolError::malformed)?;
            *id = Some(session.to_owned());
            Ok(session.to_owned())
        });
        started.await.map_err(|_| ToolError::malformed())?
    }

    /// Does something in this session, or without one in the client's own shell. If that has ended, a new
    /// one is started. A request that is refused because its shell has ended did nothing.
    pub(crate) async fn within<T, F>(
        &self,
        session: Option<String>,
        act: impl Fn(String) -> F,
    ) -> Result<(T, Used), ToolError>
    where
        F: Future<Output = Result<T, ToolError>>,
    {
        if let Some(id) = session {
            return Ok((act(id.clone()).await?, Used { id, replaced: None }));
        }
        let id = self.id().await?;
        match act(id.clone()).await {
            Err(error) if has_ended(&error) => {
                self.forget(&id).await;
                let new = self.id().await?;
                Ok((act(new.clone()).await?, Used { id: new, replaced: Some(id) }))
            }
            result => Ok((result?, Used { id, replaced: None })),
        }
    }

    /// Forgets the shell with this id, which has ended or will.
    pub(crate) async fn forget(&self, id: &str) {
        self.id.lock().await.take_if(|own| own == id);
    }

    /// Stops the shell.
    pub(crate) async fn stop(&self) {
        stop(&self.api, &self.id).await;
    }
}

impl Drop for OwnShell {
    fn drop(&mut self) {
        if self.id.try_lock().is_ok_and(|id| id.is_none()) {
            return;
        }
        let (api, id) = (self.api.clone(), Arc::clone(&self.id));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { stop(&api, &id).await });
        }
    }
}

async fn stop(api: &Requests, id: &Mutex<Option<String>>) {
    let Some(id) = id.lock().await.take() else { return };
    let body = json!({"sessionId": id, "reason": "the MCP client has ended"});
    if let Err(error) = api.post("/shell/stop", &body).await {
        tracing::warn!(
            session.id = id,
            ?error,
            "failed to stop the shell of an MCP client; it ends after its idle timeout"
        );
    }
}

fn has_ended(error: &ToolError) -> bool {
    ["session_ended", "session_draining", "not_found"].iter().any(|code| error.is_code(code))
}

#[cfg(test)]
mod tests;
