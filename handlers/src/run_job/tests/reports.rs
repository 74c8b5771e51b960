//! Runners that connect by themselves report what becomes of commands.

use domain::{
    JobId, TaskId,
    ports::{Report, ReportedOutput},
};

use super::*;
use crate::Recorded;

/// Ports whose runners are posted requests.
fn posting() -> Fakes {
    let fakes = Fakes::new().with_ready_session("s");
    fakes.shell.post_requests();
    fakes
}

fn deliver(fakes: &Fakes) {
    while fakes.shell.requests_under_way() > 0 {
        fakes.shell.deliver_request(0, false);
    }
}

async fn record(fakes: &Fakes, report: Report) -> Recorded {
    crate::record_report(&env(fakes), &task_id("s"), report).await.unwrap()
}

fn report(fakes: &Fakes, job: &str) -> Report {
    fakes.shell.report(&task_id("s"), job_id(job)).unwrap()
}

fn piece(from: u64, offset: u64, text: &str) -> ReportedOutput {
    ReportedOutput { stream: Stream::Stdout, from, offset, bytes: text.as_bytes().to_vec() }
}

fn printed(job: JobId, output: Vec<ReportedOutput>) -> Report {
    Report { job, output, end: None }
}

const OVER: Recorded = Recorded { stdout: 0, stderr: 0, over: true };

#[tokio::test]
async fn a_report_of_the_end_finishes_the_job_and_sends_the_next_one() {
    let fakes = posting().with_queued_job("s", "j1", "one").with_queued_job("s", "j2", "two");
    fakes.shell.script("one", Script::prints("hello\n").exits(3));
    run(&env(&fakes)).await;
    assert_eq!(fakes.shell.requests_under_way(), 1);
    assert_eq!((status(&fakes, "j1"), status(&fakes, "j2")), (Status::Running, Status::Queued));
    deliver(&fakes);
    let first = report(&fakes, "j1");
    assert_eq!(record(&fakes, first.clone()).await, OVER);
    assert_eq!((status(&fakes, "j1"), status(&fakes, "j2")), (Status::Completed, Status::Running));
    assert_eq!(stdout(&fakes, "j1").await, "hello\n");
    assert_eq!(fakes.shell.requests_under_way(), 1);
    assert_eq!(record(&fakes, first).await, OVER);
    assert_eq!(stdout(&fakes, "j1").await, "hello\n");
    assert_eq!(fakes.shell.requests_under_way(), 1);
}

#[tokio::test]
async fn no_worker_follows_a_command_whose_runner_reports() {
    let fakes = posting().with_queued_job("s", "j", "long");
    fakes.shell.script("long", Script::default().lasts(Duration::from_hours(1)));
    let begun_at = fakes.now();
    run(&env(&fakes)).await;
    assert_eq!(fakes.now(), begun_at);
    assert!(fakes.queue.take_held().is_empty());
    deliver(&fakes);
    assert!(!record(&fakes, report(&fakes, "j")).await.over);
    let due = fakes.job("j").due_at().unwrap();
    assert_eq!(due, fakes.now() + Duration::from_mins(5));
    // It is asked for when it is due, and not started again.
    fakes.clock.set(due);
    run(&env(&fakes)).await;
    deliver(&fakes);
    assert_eq!(fakes.shell.runs()[&job_id("j")], 1);
    assert_eq!(fakes.job("j").attempt(), 2);
}

#[tokio::test]
async fn output_is_stored_once_and_only_behind_what_is_stored() {
    let fakes = posting().with_queued_job("s", "j", "true");
    run(&env(&fakes)).await;
    let job = job_id("j");
    let stored = |stdout| Recorded { stdout, stderr: 0, over: false };
    let late = printed(job, vec![piece(3, 3, "def")]);
    assert_eq!(record(&fakes, late.clone()).await, stored(0));
    assert_eq!(record(&fakes, printed(job, vec![piece(0, 0, "abc")])).await, stored(3));
    assert_eq!(record(&fakes, late).await, stored(6));
    let overlapping = printed(job, vec![piece(0, 0, "abcdefg"), piece(7, 7, "h")]);
    assert_eq!(record(&fakes, overlapping).await, stored(8));
    assert_eq!(record(&fakes, printed(job, vec![piece(0, 0, "abc")])).await, stored(8));
    assert_eq!(stdout(&fakes, "j").await, "abcdefgh");
    // The gap of a stream that was cut.
    assert_eq!(record(&fakes, printed(job, vec![piece(8, 20, "z")])).await, stored(21));
    let (stats, _) = fakes.job("j").output();
    assert_eq!(stats.gap.map(|gap| (gap.from, gap.to)), Some((8, 20)));
}

#[tokio::test]
async fn an_end_without_the_output_before_it_is_not_recorded() {
    let fakes = posting().with_queued_job("s", "j", "greet");
    fakes.shell.script("greet", Script::prints("hello\n"));
    run(&env(&fakes)).await;
    deliver(&fakes);
    let whole = report(&fakes, "j");
    let without = Report { output: Vec::new(), ..whole.clone() };
    let nothing = Recorded { stdout: 0, stderr: 0, over: false };
    assert_eq!(record(&fakes, without).await, nothing);
    assert_eq!(status(&fakes, "j"), Status::Running);
    assert_eq!(record(&fakes, whole).await, OVER);
    assert_eq!(status(&fakes, "j"), Status::Completed);
}

#[tokio::test]
async fn output_that_may_not_be_stored_is_cut_and_the_job_still_ends() {
    for (disk_full, kept) in [(true, 0), (false, 5)] {
        let fakes = posting();
        let max_output_bytes = if disk_full { 1 << 20 } else { 5 };
        let command = Command { max_output_bytes, ..testkit::command("long") };
        put(&fakes, with_command(&fakes, "j", command));
        fakes.store.set_disk_full(disk_full);
        let storage = Some(StorageLimits { user: 1 << 20, session: 1 << 20 });
        let policy = crate::Policy { storage, ..crate::tests::policy() };
        let env = Env { policy: policy.into(), ..env(&fakes) };
        run(&env).await;
        let job = job_id("j");
        for (from, text) in [(0, "0123456789"), (10, "more")] {
            let report = printed(job, vec![piece(from, from, text)]);
            let recorded = crate::record_report(&env, &task_id("s"), report).await.unwrap();
            assert_eq!(recorded.stdout, from + text.len() as u64);
        }
        deliver(&fakes);
        let end = report(&fakes, "j").end;
        let end = end.map(|end| domain::ports::ReportedEnd { at: (14, 0), ..end });
        let report = Report { job, output: Vec::new(), end };
        assert!(crate::record_report(&env, &task_id("s"), report).await.unwrap().over);
        let (stats, _) = fakes.job("j").output();
        assert_eq!((stats.stored, stats.written), (kept, 14));
        assert_eq!(status(&fakes, "j"), Status::Completed);
    }
}

#[tokio::test]
async fn a_report_of_another_task_changes_nothing() {
    let fakes = posting().with_queued_job("s", "j", "true");
    run(&env(&fakes)).await;
    deliver(&fakes);
    let report = report(&fakes, "j");
    let foreign = TaskId::new("another");
    let recorded = crate::record_report(&env(&fakes), &foreign, report).await.unwrap();
    assert_eq!(recorded, OVER);
    assert_eq!(status(&fakes, "j"), Status::Running);
}

#[tokio::test]
async fn a_runner_that_connects_makes_its_session_ready() {
    let fakes = Fakes::new().with_starting_session("s").with_queued_job("s", "j", "true");
    fakes.shell.post_requests();
    // The provider may not know yet that the task runs.
    crate::runner_connected(&env(&fakes), &task_id("s"), &[]).await.unwrap();
    assert_eq!(fakes.session("s").status(), SessionStatus::Ready);
    let again = Message::RunJob { session: session_id("s") };
    assert!(fakes.queue.take_ready(fakes.now()).contains(&again));
}

#[tokio::test]
async fn a_runner_that_connects_gets_the_commands_that_it_does_not_know() {
    let fakes = posting().with_queued_job("s", "j", "true");
    let env = env(&fakes);
    run(&env).await;
    fakes.shell.lose_request(0);
    crate::runner_connected(&env, &task_id("s"), &[job_id("j")]).await.unwrap();
    run(&env).await;
    assert_eq!(fakes.shell.requests_under_way(), 0);
    crate::runner_connected(&env, &task_id("s"), &[]).await.unwrap();
    run(&env).await;
    assert_eq!(fakes.shell.requests_under_way(), 1);
    deliver(&fakes);
    assert!(record(&fakes, report(&fakes, "j")).await.over);
}

#[tokio::test]
async fn a_report_is_recorded_again_after_a_failure_of_any_call() {
    for point in [testkit::FaultPoint::Before, testkit::FaultPoint::After] {
        for number in 0.. {
            let fakes =
                posting().with_queued_job("s", "j", "greet").with_queued_job("s", "k", "true");
            fakes.shell.script("greet", Script::prints("hello\n").exits(3));
            run(&env(&fakes)).await;
            deliver(&fakes);
            let report = report(&fakes, "j");
            fakes.gate.fail_at(number, point);
            let failed = crate::record_report(&env(&fakes), &task_id("s"), report.clone()).await;
            let calls = fakes.gate.calls();
            fakes.gate.heal();
            if failed.is_err() {
                assert!(record(&fakes, report).await.over);
            }
            assert_eq!(status(&fakes, "j"), Status::Completed);
            assert_eq!(stdout(&fakes, "j").await, "hello\n");
            if number >= calls {
                break;
            }
        }
    }
}
