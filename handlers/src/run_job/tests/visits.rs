//! A command that its first worker does not see the end of is visited by later ones.

use domain::{Timestamp, ports::Queue as _};

use super::*;

/// How a deployment on AWS follows commands.
fn visiting_policy() -> crate::Policy {
    crate::Policy {
        worker_hold: Duration::from_secs(10),
        worker_visit: Duration::from_millis(300),
        hand_on_delay: Duration::from_secs(2),
        hand_on_delay_max: Duration::from_secs(30),
        ..crate::tests::policy()
    }
}

/// When the next message is delivered.
fn next_message(fakes: &Fakes) -> Option<Timestamp> {
    fakes.queue.held().iter().map(|held| held.due).min()
}

#[tokio::test]
async fn later_workers_visit_a_long_command_briefly_and_ever_less_often() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "long");
    fakes.shell.script("long", Script::prints("so far").lasts(Duration::from_mins(5)));
    let mut env = env(&fakes);
    env.policy = visiting_policy().into();
    let (mut held, mut pauses) = (Vec::new(), Vec::new());
    while status(&fakes, "j") != Status::Completed {
        let begun_at = fakes.now();
        run(&env).await;
        held.push(fakes.now().since(begun_at).as_millis());
        for message in fakes.queue.take_held() {
            pauses.push(message.due.since(fakes.now()).as_secs());
            fakes.clock.set(message.due);
        }
    }
    assert_eq!(held[..3], [10_000, 300, 300]);
    assert_eq!(pauses[..6], [2, 3, 4, 5, 6, 8]);
    assert_eq!(pauses.last(), Some(&30));
    assert_eq!(fakes.shell.runs()[&job_id("j")], 1);
}

#[tokio::test]
async fn a_cancelled_command_does_not_wait_for_the_next_visit() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "long");
    fakes.shell.script("long", Script::default().lasts(Duration::from_hours(1)));
    let mut env = env(&fakes);
    env.policy = visiting_policy().into();
    for _ in 0..9 {
        run(&env).await;
        fakes.clock.set(next_message(&fakes).unwrap());
        fakes.queue.take_held();
    }
    run(&env).await;
    let due = next_message(&fakes).unwrap();
    assert!(due > fakes.now() + Duration::from_secs(5));
    run(&env).await;
    assert_eq!(next_message(&fakes), Some(due), "no worker comes before its time");
    let Job::Running(job) = fakes.job("j") else { panic!("the job does not run") };
    let cancelled = Job::from(job.request_cancel(fakes.now()));
    let version = fakes.store.job_version(job_id("j")).unwrap();
    fakes.store.apply(&[Write::Job(Box::new(cancelled), Expect::At(version))]).unwrap();
    crate::handle(&env, Message::CancelJob { job: job_id("j") }).await.unwrap();
    let again = Message::RunJob { session: session_id("s") };
    assert!(fakes.queue.take_ready(fakes.now()).contains(&again));
    run(&env).await;
    assert_eq!(status(&fakes, "j"), Status::Cancelled);
}

#[tokio::test]
async fn a_command_that_a_worker_follows_is_not_taken_from_it() {
    let fakes = Fakes::new().with_ready_session("s").with_running_job("s", "j", "true");
    let before = fakes.job("j");
    crate::run_job::visit_now(&env(&fakes), job_id("j")).await.unwrap();
    assert_eq!(fakes.job("j"), before);
    assert!(fakes.queue.take_ready(fakes.now()).is_empty());
}

#[tokio::test]
async fn each_of_several_long_commands_is_visited() {
    let fakes = Fakes::new().with_ready_session("s");
    fakes.shell.script("long", Script::default().lasts(Duration::from_secs(40)));
    for name in ["j", "k", "l"] {
        let command = Command { concurrency: Concurrency::Parallel, ..testkit::command("long") };
        put(&fakes, with_command(&fakes, name, command));
    }
    let mut env = env(&fakes);
    env.policy = visiting_policy().into();
    let first = Message::RunJob { session: session_id("s") };
    fakes.queue.send(&first, Duration::ZERO).await.unwrap();
    let (begun_at, mut workers) = (fakes.now(), 0);
    while let Some(due) = next_message(&fakes) {
        fakes.clock.set(due.max(fakes.now()));
        for _ in fakes.queue.take_ready(fakes.now()) {
            run(&env).await;
            workers += 1;
        }
    }
    for name in ["j", "k", "l"] {
        assert_eq!(status(&fakes, name), Status::Completed);
    }
    let seconds = fakes.now().since(begun_at).as_secs();
    assert!(seconds < 80, "the last end was noticed after {seconds} s");
    assert!(workers < 60, "{workers} workers came");
}
