use std::{sync::Arc, time::Duration};

use domain::{
    DeliveryId, Secret, Timestamp,
    message::Message,
    ports::{Clock, Expect, Ids, Store, Write},
    session::Status,
    task::TaskStatus,
    webhook::{EventType, Payload, Pending},
};
use testkit::{Fakes, FaultPoint, kind, session_id, task_id, user_id};

use super::first_of;
use crate::{
    Env, Policy,
    tests::{env, policy},
};

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
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

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
        assert_eq!(worker_calls(&fakes), calls, "{seconds} s later");
    }
}

/// How many messages that call a worker were sent.
fn worker_calls(fakes: &Fakes) -> usize {
    let messages = fakes.queue.take_ready(fakes.now());
    messages.iter().filter(|message| matches!(message, Message::RunJob { .. })).count()
}

#[tokio::test]
async fn a_task_that_can_not_be_checked_does_not_hold_up_the_rest_of_the_sweep() {
    let fakes = Fakes::new().with_ended_session("old");
    fakes.clock.advance(Duration::from_hours(7 * 24) - Duration::from_secs(30));
    let fakes = ["a", "b"].into_iter().fold(fakes, |fakes, name| {
        fakes.with_ready_session(name).with_running_job(name, name, "true")
    });
    fakes.store.hide_due_jobs();
    fakes.clock.advance(Duration::from_secs(20));
    crate::sweep(&env(&fakes)).await.unwrap();
    worker_calls(&fakes);
    // The leases have run out, and no session is due for another half minute.
    fakes.clock.advance(Duration::from_secs(25));
    let mut is_checking = false;
    let mut has_failed = false;
    fakes.gate.fail(move |_, action| {
        is_checking |= action == "listing tasks";
        let fails = is_checking && action == "reading a session" && !has_failed;
        has_failed |= fails;
        fails.then_some(FaultPoint::Before)
    });
    let policy = Policy { warm: vec![(kind(), 1)], ..policy() };
    let env = Env { policy: Arc::new(policy), ..env(&fakes) };
    let swept = crate::sweep(&env).await.unwrap();
    assert_eq!((swept.due, swept.failed, swept.forgotten), (0, 1, 1), "{swept:?}");
    assert_eq!(worker_calls(&fakes), 1, "the other task's session has a job that may run");
    assert_eq!(fakes.store.warm_of(&kind()).await.unwrap().len(), 1, "the pool was filled");
}

#[tokio::test]
async fn a_sweep_that_can_not_check_all_tasks_in_time_leaves_the_rest_to_the_next_ones() {
    let fakes = Fakes::new().with_ended_session("old");
    fakes.clock.advance(Duration::from_hours(7 * 24 + 1));
    for number in 0..50 {
        let starter = session_id(&format!("s{number}")).to_string();
        fakes.compute.adopt(task_id(&format!("s{number}")), &starter, TaskStatus::Running);
    }
    let running = || {
        let tasks = fakes.compute.tasks();
        tasks.iter().filter(|facts| facts.status == TaskStatus::Running).count()
    };
    let clock = fakes.clock.clone();
    fakes.gate.fail(move |_, action| {
        clock.advance(Duration::from_secs(u64::from(action == "reading a session")));
        None
    });
    let swept = crate::sweep(&env(&fakes)).await.unwrap();
    assert_eq!((swept.failed, swept.forgotten), (0, 1), "{swept:?}");
    assert!((1..50).contains(&running()), "{}", running());
    for _ in 0..10 {
        fakes.clock.advance(Duration::from_mins(1));
        crate::sweep(&env(&fakes)).await.unwrap();
    }
    assert_eq!(running(), 0);
}

#[test]
fn every_task_gets_its_turn_soon_if_a_sweep_checks_a_tenth_of_them() {
    for tasks in [10, 1000, 5000] {
        let share = tasks / 10;
        for begun_at in [0, 29_000_000] {
            let mut is_checked = vec![false; tasks];
            for minute in begun_at..begun_at + 30 {
                let first = first_of(tasks, Timestamp::from_millis(minute * 60_000));
                (first..first + share).for_each(|task| is_checked[task % tasks] = true);
            }
            assert_eq!(is_checked.iter().position(|checked| !checked), None, "of {tasks}");
        }
    }
    assert_eq!(first_of(0, Timestamp::from_millis(60_000)), 0);
}
