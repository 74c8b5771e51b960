use std::time::Duration;

use domain::size::Network;
use handlers::{Code, Policy};
use serde_json::json;
use testkit::Fakes;

use super::*;

/// A deployment on the fakes.
pub(super) fn env(fakes: &Fakes) -> Env {
    let policy = Policy {
        default_network: Network::Egress,
        refused_networks: [(Network::None, "there is none".to_owned())].into(),
        streaming: false,
        worker_hold: Duration::from_secs(20),
        ..Policy::default()
    };
    testkit::env_of!(Env, fakes, policy)
}

#[tokio::test]
async fn an_error_has_the_name_of_its_code() {
    let env = env(&Fakes::new());
    let id = testkit::session_id("unknown");
    let unknown = json!({"sessionId": id});
    let error = run(Step::InspectSession, &env, unknown).await.unwrap_err();
    assert_eq!(error.error_type, Code::BadInput.name());
    assert_eq!(error.error_message, format!("session {id} does not exist"));
}

#[tokio::test]
async fn an_error_does_not_quote_the_input() {
    let env = env(&Fakes::new());
    let input = json!({"sessionId": 1, "token": "planted-marker"});
    let error = run(Step::AwaitEnd, &env, input).await.unwrap_err();
    assert!(!format!("{error:?}").contains("planted-marker"));
}
