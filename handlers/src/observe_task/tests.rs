use std::time::Duration;

use domain::message::Message;
use testkit::{Fakes, task_id};

use crate::tests::env;

#[tokio::test]
async fn a_runner_that_has_not_answered_for_long_is_probed_less_often() {
    let fakes = Fakes::new().with_starting_session("s");
    let task = task_id("s");
    fakes.shell.silence(&task);
    let facts = fakes.compute.facts(&task).unwrap();
    for (age, wait) in [(2, 1), (80, 10), (500, 30)] {
        fakes.clock.set(facts.at + Duration::from_secs(age));
        crate::handle(&env(&fakes), Message::TaskEvent { facts: facts.clone() }).await.unwrap();
        let held = fakes.queue.take_held();
        let [probe] = &held[..] else { panic!("{held:?}") };
        assert!(matches!(probe.message, Message::ProbeTask { .. }));
        assert_eq!(probe.due.since(fakes.now()), Duration::from_secs(wait), "after {age} s");
    }
}
