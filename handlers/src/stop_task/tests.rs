use domain::{
    message::Message,
    session::{Session, Status},
    task::TaskStatus,
    timeline::EventKind,
};
use serde_json::json;
use testkit::{Change, Fakes, FaultPoint, session_id, task_id};

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

#[tokio::test]
async fn the_stop_of_a_task_closes_its_session_by_one_write() {
    let fakes = Fakes::new().with_stopping_session("s").with_queued_job("s", "j", "true");
    let input = json!({"sessionId": session_id("s"), "token": "t"});
    Step::StopTask.run(&env(&fakes), input).await.unwrap();
    fakes.store.take_history();
    fakes.compute.take_events();
    fakes.compute.advance(&task_id("s"), TaskStatus::Stopped);
    for facts in fakes.compute.take_events() {
        crate::handle(&env(&fakes), Message::TaskEvent { facts }).await.unwrap();
    }
    assert_eq!(fakes.session("s").status(), Status::Stopped);
    assert!(fakes.job("j").due_at().is_none(), "its jobs end before");
    let history = fakes.store.take_history();
    let mut sessions = Vec::new();
    let mut kinds = Vec::new();
    for change in &history {
        if let Change::Session(session) = change {
            sessions.push(&**session);
        } else if let Change::Entry(entry) = change {
            kinds.push(entry.kind);
        }
    }
    assert!(matches!(sessions[..], [Session::Ended(_)]), "{sessions:?}");
    assert_eq!(kinds, [EventKind::TaskStopped, EventKind::Stopped]);
    assert_eq!(fakes.workflow.take_resumed().len(), 1, "its execution goes on");
}
