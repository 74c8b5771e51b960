use std::time::Duration;

use domain::{
    DeliveryId, Secret,
    message::Message,
    ports::{Clock, Expect, Ids, Write},
    session::Status,
    webhook::{EventType, Payload, Pending},
};
use testkit::{Fakes, session_id, task_id, user_id};

use crate::tests::env;

/// More records than one read returns. They stay due until another handler handles them.
fn with_many_deliveries() -> Fakes {
    let fakes = Fakes::new();
    for _ in 0..450 {
        let payload = Payload {
            id: DeliveryId::from_ulid(fakes.ids.ulid()),
            user: user_id(),
            session: session_id("s"),
            event: EventType::JobCompleted,
            body: Secret::new(String::new()),
            created_at: fakes.now(),
        };
        let delivery = Box::new(Pending::new(payload).into());
        fakes.store.apply(&[Write::Delivery(delivery, Expect::New)]).unwrap();
    }
    fakes
}

#[tokio::test]
async fn records_that_stay_due_do_not_hide_the_records_behind_them() {
    let fakes = with_many_deliveries();
    fakes.clock.advance(Duration::from_mins(10));
    let fakes = fakes.with_queued_session("late");
    fakes.clock.advance(Duration::from_mins(5));
    let swept = crate::sweep(&env(&fakes)).await.unwrap();
    assert_eq!(swept.failed, 0);
    assert_eq!(fakes.workflow.take_started(), [session_id("late")]);
    assert_eq!(fakes.queue.len(), 450, "one message for each");
}

#[tokio::test]
async fn a_sweep_that_reaches_its_time_limit_leaves_the_rest_to_the_next_one() {
    let fakes = with_many_deliveries();
    fakes.clock.advance(Duration::from_mins(5));
    let (begun_at, clock) = (fakes.now(), fakes.clock.clone());
    fakes.gate.fail(move |_, _| {
        clock.advance(Duration::from_secs(1));
        None
    });
    let swept = crate::sweep(&env(&fakes)).await.unwrap();
    assert_eq!(swept.due, 59, "{swept:?}");
    assert!(fakes.clock.now().since(begun_at) < Duration::from_mins(2));
}

#[tokio::test]
async fn a_task_that_its_provider_does_not_know_yet_is_not_lost() {
    let fakes = Fakes::new().with_starting_session("s");
    fakes.compute.forget(&task_id("s"));
    for (minutes, status) in [(0, Status::Starting), (1, Status::Failed)] {
        fakes.clock.advance(Duration::from_mins(minutes) + Duration::from_secs(20));
        let swept = crate::sweep(&env(&fakes)).await.unwrap();
        assert_eq!(swept.failed, 0);
        assert_eq!(fakes.session("s").status(), status);
    }
}

#[tokio::test]
async fn one_sweep_removes_all_records_whose_retention_is_over() {
    let mut fakes = Fakes::new();
    for number in 0..350 {
        fakes = fakes.with_ended_session(&format!("s{number}"));
    }
    fakes.clock.advance(Duration::from_hours(7 * 24 + 1));
    let swept = crate::sweep(&env(&fakes)).await.unwrap();
    assert_eq!((swept.forgotten, fakes.store.all_sessions().len()), (350, 0));
}

#[tokio::test]
async fn the_tasks_of_all_due_sessions_are_described_by_one_call() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    let mut fakes = Fakes::new();
    for number in 0..20 {
        fakes = fakes.with_ready_session(&format!("s{number}"));
    }
    fakes.clock.advance(Duration::from_mins(15));
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    fakes.gate.fail(move |_, action| {
        counter.fetch_add(usize::from(action == "describing tasks"), SeqCst);
        None
    });
    let swept = crate::sweep(&env(&fakes)).await.unwrap();
    assert_eq!((swept.due, swept.failed), (20, 0));
    assert_eq!(calls.load(SeqCst), 1);
}

/// The request that accepted and claimed the command died before it posted it.
#[tokio::test]
async fn a_command_that_nobody_started_is_found_where_the_store_lists_no_due_jobs() {
    let fakes = Fakes::new().with_ready_session("s").with_running_job("s", "j", "true");
    fakes.store.hide_due_jobs();
    fakes.clock.advance(Duration::from_secs(20));
    crate::sweep(&env(&fakes)).await.unwrap();
    fakes.queue.take_ready(fakes.now());
    // From now on the session itself is due after a minute, and the job's lease runs out after ten seconds.
    for (seconds, calls) in [(5, 0), (20, 1)] {
        fakes.clock.advance(Duration::from_secs(seconds));
        let swept = crate::sweep(&env(&fakes)).await.unwrap();
        assert_eq!((swept.due, swept.failed), (0, 0));
        let messages = fakes.queue.take_ready(fakes.now());
        let called = messages.iter().filter(|message| matches!(message, Message::RunJob { .. }));
        assert_eq!(called.count(), calls, "{seconds} s later: {messages:?}");
    }
}
