use domain::task::TaskStatus;
use serde_json::json;
use testkit::{Fakes, FaultPoint, session_id, task_id};

use crate::{Code, Step, tests::env};

#[tokio::test]
async fn a_task_is_stopped_even_if_its_sessions_record_cannot_be_written() {
    for fakes in [Fakes::new().with_ready_session("s"), Fakes::new().with_stopping_session("s")] {
        fakes.gate.fail(|_, action| (action == "committing").then_some(FaultPoint::Before));
        assert!(fakes.compute.is_running(&task_id("s")));
        let input = json!({"sessionId": session_id("s"), "token": "t"});
        let error = Step::StopTask.run(&env(&fakes), input).await.unwrap_err();
        assert_eq!(error.code(), Code::Backend, "the state repeats the call");
        let status = fakes.compute.facts(&task_id("s")).map(|facts| facts.status);
        assert_eq!(status, Some(TaskStatus::Stopping));
    }
}
