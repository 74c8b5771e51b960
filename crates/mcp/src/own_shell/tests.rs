use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex as Recorded;
use tokio::sync::Notify;

use super::*;
use crate::api::{Api, UnreachableError};

/// An API that starts numbered shells and records its requests.
#[derive(Default)]
struct Shells {
    requests: Recorded<Vec<Request<Bytes>>>,
    stopped: Notify,
}

impl Shells {
    fn paths(&self) -> Vec<String> {
        self.requests.lock().iter().map(|request| request.uri().to_string()).collect()
    }

    fn started(&self) -> usize {
        self.paths().iter().filter(|path| *path == "/v1/shell/start").count()
    }
}

#[async_trait]
impl Api for Shells {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, UnreachableError> {
        let stops = request.uri() == "/v1/shell/stop";
        self.requests.lock().push(request);
        tokio::task::yield_now().await;
        if stops {
            self.stopped.notify_one();
        }
        let body = json!({"sessionId": format!("sh_{}", self.started())});
        Ok(Response::new(body.to_string().into()))
    }
}

fn shell(api: &Arc<Shells>) -> OwnShell {
    OwnShell::new(Requests::new(Arc::clone(api) as Arc<dyn Api>), Map::new())
}

async fn named(session: String) -> Result<String, ToolError> {
    Ok(session)
}

#[tokio::test]
async fn calls_at_once_start_one_shell() {
    let api = Arc::new(Shells::default());
    let own = shell(&api);
    let (first, second) = tokio::join!(own.within(None, named), own.within(None, named));
    assert_eq!((first.unwrap().0, second.unwrap().0), ("sh_1".to_owned(), "sh_1".to_owned()));
    assert_eq!(api.started(), 1);
    own.stop().await;
    own.stop().await;
    assert_eq!(api.paths(), ["/v1/shell/start", "/v1/shell/stop"]);
}

#[tokio::test]
async fn a_named_session_needs_no_shell_of_its_own() {
    let api = Arc::new(Shells::default());
    let (used, _) = shell(&api).within(Some("sh_9".to_owned()), named).await.unwrap();
    assert_eq!(used, "sh_9");
    assert!(api.paths().is_empty());
}

#[tokio::test]
async fn a_shell_that_has_ended_is_replaced_and_the_result_says_so() {
    let api = Arc::new(Shells::default());
    let own = shell(&api);
    let act = async |session: String| {
        let ended = ToolError::new("session_ended", "the session has ended", "");
        if session == "sh_1" { Err(ended) } else { Ok(session) }
    };
    let (id, used) = own.within(None, act).await.unwrap();
    assert_eq!((id.as_str(), used.replaced.as_deref()), ("sh_2", Some("sh_1")));
    let refused = own.within(Some("sh_1".to_owned()), act).await.unwrap_err();
    assert!(refused.is_code("session_ended"), "a named session is never replaced");
    own.stop().await;
}

#[tokio::test]
async fn a_call_that_is_cancelled_leaves_no_unknown_shell() {
    let api = Arc::new(Shells::default());
    let own = shell(&api);
    tokio::select! {
        biased;
        _ = own.within(None, named) => panic!("the call was not cancelled"),
        // After the first poll of the call, which starts the shell.
        () = std::future::ready(()) => {}
    }
    own.stop().await;
    assert_eq!(api.paths(), ["/v1/shell/start", "/v1/shell/stop"]);
}

#[tokio::test]
async fn dropping_it_stops_the_shell() {
    let api = Arc::new(Shells::default());
    let own = shell(&api);
    own.within(None, named).await.unwrap();
    drop(own);
    api.stopped.notified().await;
    let body = api.requests.lock().last().unwrap().body().clone();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["sessionId"], "sh_1");
}

#[tokio::test]
async fn each_post_has_an_idempotency_key_of_its_own() {
    let api = Arc::new(Shells::default());
    let own = shell(&api);
    own.within(None, named).await.unwrap();
    own.stop().await;
    let requests = api.requests.lock();
    let keys: HashSet<_> =
        requests.iter().map(|one| one.headers()["idempotency-key"].clone()).collect();
    assert_eq!(keys.len(), requests.len());
    let start: Value = serde_json::from_slice(requests[0].body()).unwrap();
    assert_eq!(start["idleTimeoutSeconds"], 1800);
}
