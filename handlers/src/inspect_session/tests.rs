use std::time::Duration;

use domain::message::Message;
use serde_json::json;
use testkit::{Fakes, session_id};

use crate::{Step, tests::env};

#[tokio::test]
async fn a_busy_session_is_rechecked_seldom_and_is_idle_once_its_last_job_is_done() {
    let fakes = Fakes::new()
        .with_spec(|spec| spec.idle_timeout = Some(Duration::from_secs(2)))
        .with_ready_session("s")
        .with_queued_job("s", "j", "true");
    let of_session = json!({"sessionId": session_id("s")});
    fakes.clock.advance(Duration::from_secs(5));
    let next = Step::InspectSession.run(&env(&fakes), of_session).await.unwrap();
    assert_eq!(next, json!({"action": "wait", "waitSeconds": 60}));
    let waiting = json!({"sessionId": session_id("s"), "token": "t", "waitSeconds": 60});
    Step::AwaitEnd.run(&env(&fakes), waiting).await.unwrap();
    crate::handle(&env(&fakes), Message::RunJob { session: session_id("s") }).await.unwrap();
    let resumed = fakes.workflow.take_resumed();
    let [(_, answer)] = &resumed[..] else { panic!("{resumed:?}") };
    assert_eq!(answer, "DeadlineMoved");
    let of_session = json!({"sessionId": session_id("s")});
    let next = Step::InspectSession.run(&env(&fakes), of_session).await.unwrap();
    assert_eq!(next, json!({"action": "wait", "waitSeconds": 2}));
}

/// The function started when the timer of its state ran already. What counts is when the timer fires.
#[tokio::test]
async fn a_wait_that_is_registered_late_is_not_begun_again() {
    let fakes = Fakes::new().with_ready_session("s");
    let env = env(&fakes);
    let next = Step::InspectSession.run(&env, json!({"sessionId": session_id("s")})).await;
    let seconds = next.unwrap()["waitSeconds"].as_u64().unwrap();
    let entered_at = Some(fakes.now());
    // The timer of a retry was set after the state was entered.
    for (entered_at, retries, answers) in [(entered_at, 0, 0), (entered_at, 1, 1), (None, 0, 1)] {
        fakes.clock.advance(Duration::from_secs(7));
        let token = format!("{answers}{retries}");
        let waiting = json!({
            "sessionId": session_id("s"), "token": token, "waitSeconds": seconds, "enteredAt": entered_at,
            "retries": retries,
        });
        Step::AwaitEnd.run(&env, waiting).await.unwrap();
        assert_eq!(fakes.workflow.take_resumed().len(), answers, "{entered_at:?} {retries}");
    }
}
