use std::{sync::Arc, time::Duration};

use domain::{
    command::{Command, Concurrency, Keep},
    job::{BackgroundProcess, Common, Exit, Job, Outcome, Queued, Status, Work},
    message::Message,
    ports::{EndCause, Expect, RunLimits, StorageLimits, Store, Stream, Write},
    session::Status as SessionStatus,
};
use testkit::{Fakes, Script, job_id, session_id, task_id};

use crate::{Claim, Env, tests::env};

mod reports;
mod unstarted;
mod visits;

async fn run(env: &Env) {
    crate::handle(env, Message::RunJob { session: session_id("s") }).await.unwrap();
}

async fn stdout(fakes: &Fakes, job: &str) -> String {
    let bytes = fakes.store.output(job_id(job), Stream::Stdout, 0, 1 << 20).await.unwrap();
    String::from_utf8(bytes.into_inner()).unwrap()
}

fn status(fakes: &Fakes, job: &str) -> Status {
    fakes.job(job).status()
}

#[tokio::test]
async fn a_queued_job_ends_as_its_command_does_and_its_output_is_stored() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "greet");
    fakes.shell.script("greet", Script::prints("hello\n").exits(3));
    run(&env(&fakes)).await;
    let Job::Finished(job) = fakes.job("j") else { panic!("the job is not over") };
    let exit = Some(Exit::Code(3));
    assert_eq!(job.outcome(), &Outcome::Completed { exit, failure: None });
    assert_eq!(stdout(&fakes, "j").await, "hello\n");
}

#[tokio::test]
async fn where_jobs_expire_they_outlive_an_extended_session_by_the_retention() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true");
    let mut env = env(&fakes);
    Arc::make_mut(&mut env.policy).jobs_expire = true;
    run(&env).await;
    let Job::Finished(job) = fakes.job("j") else { panic!("the job is not over") };
    let end = fakes.session("s").common().expires_at;
    assert!(job.keep_until() >= Some(end + env.policy.max_ttl + env.policy.retention));
}

#[tokio::test]
async fn a_job_before_the_session_is_ready_stays_queued() {
    let fakes = Fakes::new().with_starting_session("s").with_queued_job("s", "j", "true");
    run(&env(&fakes)).await;
    assert_eq!(status(&fakes, "j"), Status::Queued);
    assert!(fakes.shell.runs().is_empty());
}

#[tokio::test]
async fn serial_jobs_run_in_order_of_arrival() {
    let fakes = Fakes::new()
        .with_ready_session("s")
        .with_queued_job("s", "j1", "one")
        .with_queued_job("s", "j2", "two");
    fakes.shell.script("one", Script::prints("1").lasts(Duration::from_secs(3)));
    run(&env(&fakes)).await;
    let (first, second) = (fakes.job("j1"), fakes.job("j2"));
    let Job::Finished(first) = first else { panic!("the first job is not over") };
    assert!(second.started_at() >= Some(first.finished_at()));
    assert_eq!(second.status(), Status::Completed);
}

/// The status of a finished job, and the code of its failure.
fn code(fakes: &Fakes, job: &str) -> (Status, Option<String>) {
    let Job::Finished(job) = fakes.job(job) else { panic!("the job is not over") };
    (job.outcome().status(), job.outcome().failure().map(|failure| failure.code.clone()))
}

/// A job that need not wait for the others.
fn parallel(fakes: &Fakes, name: &str) -> Queued {
    let concurrency = Concurrency::Parallel;
    with_command(fakes, name, Command { concurrency, ..testkit::command("true") })
}

fn with_command(fakes: &Fakes, name: &str, command: Command) -> Queued {
    Job::accept(Common {
        id: job_id(name),
        session: session_id("s"),
        user: testkit::user_id(),
        work: Work::Execute(Box::new(command)),
        created_at: fakes.now(),
    })
}

fn put(fakes: &Fakes, job: impl Into<Job>) {
    fakes.store.apply(&[Write::Job(Box::new(job.into()), Expect::New)]).unwrap();
}

#[tokio::test]
async fn the_next_job_is_found_however_many_jobs_run() {
    let fakes = Fakes::new().with_ready_session("s");
    for number in 0..super::PARALLEL_LIMIT + 20 {
        let job = parallel(&fakes, &format!("j{number:03}"));
        put(&fakes, job.claim("w", fakes.now()));
    }
    put(&fakes, parallel(&fakes, "k"));
    let fakes = fakes.with_queued_job("s", "l", "true");
    run(&without_run_limits(&fakes)).await;
    assert_eq!(status(&fakes, "k"), Status::Completed);
    assert_eq!(status(&fakes, "l"), Status::Completed);
}

/// A deployment that limits only what a runner limits.
fn without_run_limits(fakes: &Fakes) -> Env {
    let policy = crate::Policy { running: None, ..crate::tests::policy() };
    Env { policy: policy.into(), ..env(fakes) }
}

#[tokio::test]
async fn a_session_runs_no_more_commands_than_its_runner_takes() {
    let fakes = Fakes::new().with_ready_session("s");
    for number in 0..domain::job::MAX_RUNNING {
        let job = parallel(&fakes, &format!("j{number:03}"));
        put(&fakes, job.claim("w", fakes.now()));
    }
    put(&fakes, parallel(&fakes, "k"));
    let env = without_run_limits(&fakes);
    assert!(!super::has_runnable_job(&env, session_id("s")).await.unwrap());
    run(&env).await;
    assert_eq!(status(&fakes, "k"), Status::Queued);
    assert!(fakes.shell.runs().is_empty());
    // Those that run may be taken over.
    fakes.clock.advance(domain::job::LEASE);
    assert!(super::has_runnable_job(&env, session_id("s")).await.unwrap());
}

#[tokio::test]
async fn jobs_beyond_the_limit_of_running_commands_stay_queued() {
    let fakes = Fakes::new().with_ready_session("s").with_running_job("s", "j", "long");
    put(&fakes, parallel(&fakes, "k"));
    for (user, session) in [(1, 9), (9, 1)] {
        let running = Some(RunLimits { user, session });
        let policy = crate::Policy { running, ..crate::tests::policy() };
        let env = Env { policy: policy.into(), ..env(&fakes) };
        run(&env).await;
        assert_eq!(status(&fakes, "k"), Status::Queued);
        let claim = crate::claim_job(&env, session_id("s")).await.unwrap();
        assert!(matches!(claim, Claim::TooManyRunning(user) if user == testkit::user_id()));
    }
    // The command that runs already may be taken over.
    let running = Some(RunLimits { user: 1, session: 1 });
    let policy = crate::Policy { running, ..crate::tests::policy() };
    fakes.clock.advance(domain::job::LEASE);
    run(&Env { policy: policy.into(), ..env(&fakes) }).await;
    assert_eq!(status(&fakes, "j"), Status::Completed);
    assert_eq!(status(&fakes, "k"), Status::Completed);
}

#[tokio::test]
async fn a_claimed_job_is_followed_apart_and_a_worker_is_called_for_the_next() {
    let fakes = Fakes::new()
        .with_ready_session("s")
        .with_queued_job("s", "j1", "one")
        .with_queued_job("s", "j2", "two");
    let env = env(&fakes);
    let claim = crate::claim_job(&env, session_id("s")).await.unwrap();
    let Claim::Job(job) = claim else { panic!("{claim:?}") };
    assert_eq!((job.session(), job.user()), (session_id("s"), &testkit::user_id()));
    assert_eq!(status(&fakes, "j1"), Status::Running);
    assert!(matches!(crate::claim_job(&env, session_id("s")).await.unwrap(), Claim::Nothing));
    job.follow(&env).await.unwrap();
    assert_eq!(status(&fakes, "j1"), Status::Completed);
    assert_eq!(status(&fakes, "j2"), Status::Queued);
    let again = Message::RunJob { session: session_id("s") };
    assert!(fakes.queue.take_ready(fakes.now()).contains(&again));
}

#[tokio::test]
async fn output_beyond_the_limit_is_not_stored_whatever_the_runner_sends() {
    let fakes = Fakes::new().with_ready_session("s");
    let command = Command { max_output_bytes: 5, keep: Keep::Head, ..testkit::command("chatty") };
    put(
        &fakes,
        Job::accept(Common {
            id: job_id("j"),
            session: session_id("s"),
            user: testkit::user_id(),
            work: Work::Execute(Box::new(command)),
            created_at: fakes.now(),
        }),
    );
    fakes.shell.script("chatty", Script::prints("0123456789"));
    run(&env(&fakes)).await;
    assert_eq!(stdout(&fakes, "j").await, "01234");
    let (stdout, _) = fakes.job("j").output();
    assert_eq!((stdout.stored, stdout.written), (5, 10));
}

#[tokio::test]
async fn output_that_can_not_be_stored_is_cut_and_the_job_still_ends() {
    let limits = StorageLimits { user: 1 << 20, session: 1 << 20 };
    for (disk_full, session) in [(true, 1 << 20), (false, 3)] {
        let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "greet");
        fakes.shell.script("greet", Script::prints("hello").exits(3));
        fakes.store.set_disk_full(disk_full);
        let storage = Some(StorageLimits { session, ..limits });
        let policy = crate::Policy { storage, ..crate::tests::policy() };
        run(&Env { policy: policy.into(), ..env(&fakes) }).await;
        let Job::Finished(job) = fakes.job("j") else { panic!("the job is not over") };
        let exit = Some(Exit::Code(3));
        assert_eq!(job.outcome(), &Outcome::Completed { exit, failure: None });
        let (stdout, _) = fakes.job("j").output();
        assert_eq!((stdout.stored, stdout.written), (0, 5));
    }
}

#[tokio::test]
async fn a_parallel_job_does_not_wait_behind_many_serial_ones() {
    let mut fakes = Fakes::new().with_ready_session("s").with_running_job("s", "j", "long");
    for number in 0..2 * super::PARALLEL_LIMIT {
        fakes = fakes.with_queued_job("s", &format!("j{number:03}"), "true");
    }
    put(&fakes, parallel(&fakes, "k"));
    run(&env(&fakes)).await;
    assert_eq!(status(&fakes, "k"), Status::Completed);
    assert_eq!(status(&fakes, "j000"), Status::Queued);
}

#[tokio::test]
async fn a_job_of_another_worker_is_left_alone_until_its_lease_lapses() {
    let fakes = Fakes::new().with_ready_session("s").with_running_job("s", "j", "true");
    let env = env(&fakes);
    run(&env).await;
    assert_eq!(status(&fakes, "j"), Status::Running);
    fakes.clock.advance(domain::job::LEASE);
    run(&env).await;
    assert_eq!(status(&fakes, "j"), Status::Completed);
    assert_eq!(fakes.job("j").attempt(), 2);
    assert_eq!(fakes.shell.runs()[&job_id("j")], 1);
}

#[tokio::test]
async fn a_worker_hands_on_a_long_command_before_its_own_time_is_up() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "long");
    fakes.shell.script("long", Script::prints("so far").lasts(Duration::from_hours(1)));
    let mut env = env(&fakes);
    let mut policy = crate::tests::policy();
    policy.worker_hold = Duration::from_secs(20);
    env.policy = policy.into();
    // The deadline of the command itself is ten minutes.
    run(&env).await;
    assert_eq!(status(&fakes, "j"), Status::Running);
    assert_eq!(stdout(&fakes, "j").await, "so far");
    let again = Message::RunJob { session: session_id("s") };
    assert!(fakes.queue.take_ready(fakes.now()).contains(&again));
    while status(&fakes, "j") == Status::Running {
        run(&env).await;
    }
    assert_eq!(status(&fakes, "j"), Status::TimedOut);
    assert_eq!(fakes.shell.runs()[&job_id("j")], 1);
}

#[tokio::test]
async fn a_missing_program_fails_the_job_with_a_code_of_its_own() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "nope");
    let missing = EndCause::NotFound("the program does not exist".into());
    fakes.shell.script("nope", Script::default().ends(missing, None));
    run(&env(&fakes)).await;
    let Job::Finished(job) = fakes.job("j") else { panic!("the job is not over") };
    assert_eq!(job.outcome().failure().map(|f| f.code.as_str()), Some("command_not_found"));
    assert_eq!(status(&fakes, "j"), Status::Failed);
}

#[tokio::test]
async fn a_draining_session_ends_with_its_last_job() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true");
    let drain = domain::session::Event::Drain {
        reason: domain::session::Reason::CommandFinished,
        note: None,
    };
    let fakes = fakes.after("s", drain);
    run(&env(&fakes)).await;
    assert_eq!(status(&fakes, "j"), Status::Completed);
    assert_eq!(fakes.session("s").status(), SessionStatus::Stopping);
}

#[tokio::test]
async fn a_shell_that_does_not_answer_leaves_the_job_to_the_next_worker() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true");
    let env = env(&fakes);
    fakes.shell.silence(&task_id("s"));
    run(&env).await;
    assert_eq!(status(&fakes, "j"), Status::Running);
    fakes.shell.wake(&task_id("s"));
    fakes.clock.advance(Duration::from_secs(2));
    run(&env).await;
    assert_eq!(status(&fakes, "j"), Status::Completed);
}

#[tokio::test]
async fn a_runner_that_does_not_answer_for_long_is_tried_less_often() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true");
    fakes.shell.silence(&task_id("s"));
    let mut pauses = Vec::new();
    for _ in 0..20 {
        run(&env(&fakes)).await;
        let held = fakes.queue.take_held();
        let [again] = &held[..] else { panic!("{held:?}") };
        pauses.push(again.due.since(fakes.now()).as_secs());
        fakes.clock.set(again.due);
    }
    assert_eq!(pauses[..3], [1, 2, 3]);
    assert_eq!(pauses[14..], [15; 6]);
}

#[tokio::test]
async fn the_beginning_and_the_end_of_long_output_are_stored_with_the_gap() {
    let fakes = Fakes::new().with_ready_session("s");
    let command = |keep| Command { max_output_bytes: 6, keep, ..testkit::command("long") };
    let script = Script::prints("begin,")
        .then(Duration::from_secs(1), Stream::Stdout, "middle,")
        .then(Duration::from_secs(2), Stream::Stdout, "end");
    fakes.shell.script("long", script);
    let all = [(Keep::Head, "begin,", None), (Keep::Tail, "le,end", Some((0, 10)))];
    let all = all.into_iter().chain([(Keep::Both, "begend", Some((3, 13)))]);
    for (number, (keep, stored, gap)) in all.enumerate() {
        let name = format!("j{number}");
        put(&fakes, with_command(&fakes, &name, command(keep)));
        run(&env(&fakes)).await;
        assert_eq!(stdout(&fakes, &name).await, stored);
        let (stats, _) = fakes.job(&name).output();
        assert_eq!(stats.gap.map(|gap| (gap.from, gap.to)), gap);
        assert_eq!((stats.stored, stats.written), (6, 16));
    }
}

#[tokio::test]
async fn merged_output_is_stored_as_stdout_in_order_and_its_marks_as_stderr() {
    let fakes = Fakes::new().with_ready_session("s");
    let command = Command { merge: true, marks: true, ..testkit::command("mixed") };
    put(&fakes, with_command(&fakes, "j", command));
    let script = Script::prints("one,").then(Duration::from_secs(1), Stream::Stderr, "two,").then(
        Duration::from_secs(2),
        Stream::Stdout,
        "three",
    );
    fakes.shell.script("mixed", script);
    run(&env(&fakes)).await;
    assert_eq!(stdout(&fakes, "j").await, "one,two,three");
    let (stdout, stderr) = fakes.job("j").output();
    // Marks at 0, 4 and 8 bytes.
    assert_eq!((stdout.stored, stdout.written, stderr.stored, stderr.written), (13, 13, 3, 3));
}

#[tokio::test]
async fn a_job_tells_what_became_of_the_shell_that_it_shared() {
    let fakes = Fakes::new().with_ready_session("s");
    fakes.shell.script("exit", Script::default().ends_shell());
    let shared =
        |line: &str| Command { shared_shell: Some("main".to_owned()), ..testkit::command(line) };
    for (job, line, is_new, has_ended) in
        [("a", "cd /", true, false), ("b", "exit", false, true), ("c", "pwd", true, false)]
    {
        put(&fakes, with_command(&fakes, job, shared(line)));
        run(&env(&fakes)).await;
        let ended = fakes.job(job);
        let view = serde_json::to_value(crate::view::job(&ended)).unwrap();
        let expected = serde_json::json!({"name": "main", "isNew": is_new, "hasEnded": has_ended});
        assert_eq!(view["shell"], expected, "{line}");
    }
}

#[tokio::test]
async fn the_next_worker_attaches_behind_the_gap() {
    let fakes = Fakes::new().with_ready_session("s");
    let command = Command { max_output_bytes: 4, ..testkit::command("long") };
    put(&fakes, with_command(&fakes, "j", command));
    fakes.shell.script("long", Script::prints("0123456789").exits(1));
    // The outcome can't be stored, but the output was.
    let stored = std::sync::atomic::AtomicU32::new(0);
    fakes.gate.fail(move |_, action| {
        let commits = action == "committing";
        let count = stored.fetch_add(u32::from(commits), std::sync::atomic::Ordering::SeqCst);
        (commits && count == 1).then_some(testkit::FaultPoint::After)
    });
    let message = Message::RunJob { session: session_id("s") };
    crate::handle(&env(&fakes), message).await.unwrap_err();
    fakes.gate.heal();
    fakes.clock.advance(domain::job::LEASE);
    run(&env(&fakes)).await;
    assert_eq!(stdout(&fakes, "j").await, "0189");
    assert_eq!(status(&fakes, "j"), Status::Completed);
}

#[tokio::test]
async fn a_program_that_can_not_be_executed_fails_the_job_with_a_code_of_its_own() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "nope");
    let cause = EndCause::NotExecutable("it is a directory".into());
    fakes.shell.script("nope", Script::default().ends(cause, None));
    run(&env(&fakes)).await;
    assert_eq!(code(&fakes, "j"), (Status::Failed, Some("not_executable".to_owned())));
}

#[tokio::test]
async fn processes_that_a_command_left_running_are_shown_with_its_job_only() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "serve");
    let process =
        BackgroundProcess { pid: 7, command: domain::Secret::new("server --token x".to_owned()) };
    fakes.shell.script("serve", Script::default().leaves(process.clone()));
    run(&env(&fakes)).await;
    let Job::Finished(job) = fakes.job("j") else { panic!("the job is not over") };
    assert_eq!(job.background(), [process]);
    let job = Job::from(job);
    let with_processes = serde_json::to_value(crate::view::job_with_processes(&job)).unwrap();
    assert_eq!(
        with_processes["backgroundProcesses"],
        serde_json::json!([{"pid": 7, "command": "server --token x"}])
    );
    assert!(crate::view::job_event(&job)["backgroundProcesses"].is_null());
    assert!(!format!("{job:?}").contains("token"));
}
