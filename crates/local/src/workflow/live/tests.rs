use asl::{Execution, Machine, Millis};
use domain::Timestamp;
use serde_json::json;
use testkit::session_id;

use super::Live;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn with_one_execution() -> Live {
    let definition = r#"{"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}"#;
    let machine = Machine::parse(definition).unwrap();
    let mut live = Live::default();
    live.insert(session_id("a"), Execution::start(&machine, "a", json!({}), Millis(0)));
    live
}

#[test]
fn an_execution_that_is_driven_is_not_given_out_again() {
    let mut live = with_one_execution();
    assert_eq!(live.take(), Some(session_id("a")));
    live.wake(session_id("a"));
    assert_eq!(live.take(), None);
}

#[test]
fn an_execution_woken_while_it_is_driven_goes_on() {
    let mut live = with_one_execution();
    live.take();
    live.wake(session_id("a"));
    live.wake(session_id("a"));
    assert!(!live.wait(session_id("a"), at(10)), "it was woken");
    assert!(live.wait(session_id("a"), at(10)), "it was not woken again");
    assert_eq!(live.next_timer(), Some(at(10)));
}

#[test]
fn a_timer_fires_once_and_a_wakeup_cancels_it() {
    let mut live = with_one_execution();
    live.take();
    live.wait(session_id("a"), at(10));
    live.fire(at(9));
    assert_eq!(live.take(), None);
    live.fire(at(10));
    assert_eq!((live.take(), live.take(), live.next_timer()), (Some(session_id("a")), None, None));
    live.wait(session_id("a"), at(20));
    live.wake(session_id("a"));
    assert_eq!((live.take(), live.next_timer()), (Some(session_id("a")), None));
}

#[test]
fn an_ended_execution_is_removed() {
    let mut live = with_one_execution();
    live.take();
    live.remove(session_id("a"));
    live.wake(session_id("a"));
    assert!(live.wait(session_id("a"), at(10)));
    assert_eq!((live.count(), live.take(), live.next_timer()), (0, None, None));
}
