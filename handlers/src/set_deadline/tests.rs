use std::time::Duration;

use domain::message::Message;
use testkit::{Fakes, session_id, task_id};

use crate::tests::env;

fn message() -> Message {
    Message::SetDeadline { session: session_id("s") }
}

#[tokio::test]
async fn the_task_is_told_the_end_of_the_session() {
    let fakes = Fakes::new().with_ready_session("s");
    crate::handle(&env(&fakes), message()).await.unwrap();
    let end = fakes.session("s").common().expires_at;
    assert_eq!(fakes.shell.deadline(&task_id("s")), Some(end));
}

#[tokio::test]
async fn a_runner_that_does_not_answer_is_told_again() {
    let fakes = Fakes::new().with_ready_session("s");
    fakes.shell.silence(&task_id("s"));
    crate::handle(&env(&fakes), message()).await.unwrap();
    assert_eq!(fakes.shell.deadline(&task_id("s")), None);
    fakes.shell.wake(&task_id("s"));
    fakes.clock.advance(Duration::from_secs(10));
    assert_eq!(fakes.queue.take_ready(fakes.now()), [message()]);
}

#[tokio::test]
async fn a_session_without_a_task_or_with_one_that_ends_is_left_alone() {
    for fakes in [
        Fakes::new().with_queued_session("s"),
        Fakes::new().with_stopping_session("s"),
        Fakes::new().with_ended_session("s"),
    ] {
        crate::handle(&env(&fakes), message()).await.unwrap();
        assert_eq!(fakes.shell.deadline(&task_id("s")), None);
    }
}
