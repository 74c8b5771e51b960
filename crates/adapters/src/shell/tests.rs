//! Tests against the real runner, outside of a sandbox.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    JobId, Secret, TaskId, Timestamp,
    command::{Command, Program},
    job::Exit,
    ports::{Attached, Clock, CommandEnd, CommandEvent, EndCause, Shell, ShellError, Stream},
};
use parking_lot::Mutex;
use testkit::{RealRunner, conformance, job_id};
use tokio::net::UnixStream;

use super::{DataChannel, Dial, RunnerShell, Transport, connection::Connection};
use crate::clock::SystemClock;

mod idle;
mod not_started;
mod start_files;

/// A runner, and what a provider would know of its task.
struct Runner {
    host: Arc<Host>,
    shell: RunnerShell<Arc<Host>>,
}

struct Host {
    runner: Mutex<RealRunner>,
    dir: PathBuf,
    gone: AtomicBool,
    memory_kills: AtomicU64,
    keep_idle: Duration,
    opened: AtomicUsize,
    deadline: Mutex<Option<Duration>>,
}

#[async_trait]
impl Dial for Arc<Host> {
    async fn open(&self, _: &TaskId) -> Result<Box<dyn Transport>, ShellError> {
        self.opened.fetch_add(1, SeqCst);
        match UnixStream::connect(self.dir.join("runner.sock")).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(_) if self.gone.load(SeqCst) => Err(ShellError::Gone),
            Err(_) => Err(ShellError::NotReady),
        }
    }

    async fn is_gone(&self, _: &TaskId) -> bool {
        self.gone.load(SeqCst)
    }

    async fn set_deadline(&self, _: &TaskId, after: Duration) {
        *self.deadline.lock() = Some(after);
    }

    fn memory_kills(&self, _: &TaskId) -> u64 {
        self.memory_kills.load(SeqCst)
    }

    fn proves_unread(&self, error: &io::Error) -> bool {
        matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
    }

    fn keep_idle(&self) -> Duration {
        self.keep_idle
    }

    async fn offer_terminal(
        &self,
        _: &TaskId,
        _: JobId,
        _: Timestamp,
    ) -> Result<DataChannel, ShellError> {
        Err(ShellError::NotReady)
    }
}

impl Runner {
    /// None, with a message on standard error, if the runner's binary was not built.
    fn start() -> Option<Self> {
        Some(Self::of(RealRunner::start()?, Duration::ZERO))
    }

    fn of(real: RealRunner, keep_idle: Duration) -> Self {
        let host = Arc::new(Host {
            dir: real.dir().to_owned(),
            runner: Mutex::new(real),
            gone: AtomicBool::new(false),
            memory_kills: AtomicU64::new(0),
            keep_idle,
            opened: AtomicUsize::new(0),
            deadline: Mutex::default(),
        });
        let shell = RunnerShell::new(Arc::clone(&host), Arc::new(SystemClock));
        Self { host, shell }
    }

    async fn attach(&self, job: JobId, line: &str, from: (u64, u64)) -> Box<dyn Attached> {
        let env = BTreeMap::from([("A".into(), "session".into()), ("B".into(), "session".into())]);
        let started = self.shell.start(&task(), job, &command(line), &env, from).await.unwrap();
        started.attached().unwrap()
    }

    async fn run(&self, name: &str, line: &str) -> (String, String, CommandEnd) {
        finish(self.attach(job_id(name), line, (0, 0)).await).await
    }
}

/// Whether commands can run as another user.
fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

fn task() -> TaskId {
    TaskId::new("t")
}

fn command(line: &str) -> Command {
    Command {
        program: Secret::new(Program::Shell(line.to_owned())),
        cwd: Some(Secret::new("/".to_owned())),
        env: Secret::new(BTreeMap::from([("B".into(), "command".into())])),
        user: is_root().then(|| "nobody".to_owned()),
        stdin: Secret::new(b"from stdin".to_vec()),
        ..testkit::command(line)
    }
}

async fn next(attached: &mut Box<dyn Attached>) -> Result<CommandEvent, ShellError> {
    let until = SystemClock.now() + Duration::from_secs(30);
    attached.next(until).await.map(|event| event.expect("within half a minute"))
}

/// Follows a command to its end and returns stdout, stderr and the end.
async fn finish(mut attached: Box<dyn Attached>) -> (String, String, CommandEnd) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match next(&mut attached).await.unwrap() {
            CommandEvent::Started => {}
            CommandEvent::Output { stream: Stream::Stdout, bytes, .. } => stdout.extend(bytes),
            CommandEvent::Output { stream: Stream::Stderr, bytes, .. } => stderr.extend(bytes),
            CommandEvent::Ended(end) => {
                let text = |bytes| String::from_utf8(bytes).unwrap();
                return (text(stdout), text(stderr), end);
            }
        }
    }
}

#[tokio::test]
async fn a_command_gets_its_input_and_its_output_and_end_are_reported() {
    let Some(runner) = Runner::start() else { return };
    runner.shell.probe(&task()).await.unwrap();
    let line = r#"cat; printf "$A $B" >&2; exit 3"#;
    let (stdout, stderr, end) = runner.run("a", line).await;
    assert_eq!((stdout.as_str(), stderr.as_str()), ("from stdin", "session command"));
    assert_eq!((end.cause, end.exit), (EndCause::Exited, Some(Exit::Code(3))));
    assert_eq!((end.stdout_written, end.stderr_written), (10, 15));
}

#[tokio::test]
async fn a_deadline_is_told_to_the_runner_and_to_the_host() {
    let Some(runner) = Runner::start() else { return };
    runner.shell.set_deadline(&task(), Duration::from_secs(3600)).await.unwrap();
    assert_eq!(*runner.host.deadline.lock(), Some(Duration::from_secs(3600)));
    runner.shell.probe(&task()).await.unwrap();
}

#[tokio::test]
async fn a_second_attachment_gets_the_rest_of_the_same_run() {
    let Some(runner) = Runner::start() else { return };
    let mark = runner.host.dir.join("go");
    let line =
        format!("echo one; while [ ! -e {} ]; do sleep 0.01; done; echo two", mark.display());
    let job = job_id("a");
    let mut first = runner.attach(job, &line, (0, 0)).await;
    while !matches!(next(&mut first).await.unwrap(), CommandEvent::Output { .. }) {}
    drop(first);
    fs::write(&mark, "").unwrap();
    let (stdout, _, _) = finish(runner.attach(job, &line, (4, 0)).await).await;
    assert_eq!(stdout, "two\n");
    let (stdout, _, _) = finish(runner.attach(job, &line, (0, 0)).await).await;
    assert_eq!(stdout, "one\ntwo\n");
    runner.shell.release(&task(), job).await.unwrap();
    runner.shell.release(&task(), job).await.unwrap();
}

#[tokio::test]
async fn a_wait_ends_at_its_deadline_and_the_command_runs_on() {
    let Some(runner) = Runner::start() else { return };
    let mut attached = runner.attach(job_id("a"), "sleep 600", (0, 0)).await;
    assert_eq!(next(&mut attached).await.unwrap(), CommandEvent::Started);
    let past = SystemClock.now();
    assert_eq!(attached.next(past).await.unwrap(), None);
    runner.shell.signal(&task(), job_id("a"), 15).await.unwrap();
    let (_, _, end) = finish(attached).await;
    assert_eq!((end.cause, end.exit), (EndCause::Exited, Some(Exit::Signal(15))));
    // The command has ended, so this has no effect.
    runner.shell.signal(&task(), job_id("a"), 15).await.unwrap();
}

#[tokio::test]
async fn a_command_that_was_cancelled_before_its_start_never_runs() {
    let Some(runner) = Runner::start() else { return };
    runner.shell.cancel(&task(), job_id("a")).await.unwrap();
    let (stdout, _, end) = runner.run("a", "echo ran").await;
    assert_eq!((stdout.as_str(), end.cause, end.exit), ("", EndCause::Cancelled, None));
}

#[tokio::test]
async fn processes_left_by_a_command_are_killed_and_counted() {
    let Some(runner) = Runner::start() else { return };
    let (_, _, end) = runner.run("a", "sleep 600 & echo started").await;
    assert_eq!((end.exit, end.usage.leftover_processes), (Some(Exit::Code(0)), 1));
    // Until it has executed `sleep`, the process has the command line of its shell.
    let line = "sleep 600 & until grep -q ^sleep /proc/$!/cmdline; do :; done; echo $!";
    let command = Command { background: true, ..command(line) };
    let (task, env) = (task(), BTreeMap::new());
    let started = runner.shell.start(&task, job_id("b"), &command, &env, (0, 0)).await;
    let (pid, _, end) = finish(started.unwrap().attached().unwrap()).await;
    assert_eq!((end.exit, end.usage.leftover_processes), (Some(Exit::Code(0)), 1));
    let [left] = &end.background[..] else { panic!("{:?}", end.background) };
    assert_eq!(left.pid.to_string(), pid.trim());
    assert_eq!(left.command.expose(), "sleep 600");
    let (stdout, _, _) = runner.run("c", &format!("kill -0 {} && echo alive", pid.trim())).await;
    assert_eq!(stdout, "alive\n");
}

#[tokio::test]
async fn a_missing_program_is_not_found() {
    let Some(runner) = Runner::start() else { return };
    let argv = Program::Argv(vec!["no-such-program".to_owned()]);
    let command = Command { program: Secret::new(argv), ..command("") };
    let (task, env) = (task(), BTreeMap::new());
    let started = runner.shell.start(&task, job_id("a"), &command, &env, (0, 0)).await;
    let (_, _, end) = finish(started.unwrap().attached().unwrap()).await;
    assert!(matches!(end.cause, EndCause::NotFound(_)), "{:?}", end.cause);
    assert_eq!(end.exit, None);
}

#[tokio::test]
async fn a_sigkill_counts_as_out_of_memory_only_after_a_memory_kill_of_the_kernel() {
    let Some(runner) = Runner::start() else { return };
    let (_, _, end) = runner.run("a", "kill -9 $$").await;
    assert_eq!((end.cause, end.exit), (EndCause::Exited, Some(Exit::Signal(9))));
    let attached = runner.attach(job_id("b"), "read line; kill -9 $$", (0, 0)).await;
    runner.host.memory_kills.store(1, SeqCst);
    let (_, _, end) = finish(attached).await;
    assert_eq!((end.cause, end.exit), (EndCause::OutOfMemory, Some(Exit::Signal(9))));
    let (_, _, end) = runner.run("c", "kill -9 $$").await;
    assert_eq!(end.cause, EndCause::Exited);
    // A shell whose child was killed exits with 128 + SIGKILL.
    let attached = runner.attach(job_id("d"), "read line; exit 137", (0, 0)).await;
    runner.host.memory_kills.store(2, SeqCst);
    let (_, _, end) = finish(attached).await;
    assert_eq!((end.cause, end.exit), (EndCause::OutOfMemory, Some(Exit::Code(137))));
}

#[tokio::test]
async fn a_runner_that_does_not_answer_is_gone_if_its_task_has_stopped() {
    let Some(runner) = Runner::start() else { return };
    let mut attached = runner.attach(job_id("a"), "sleep 600", (0, 0)).await;
    assert_eq!(next(&mut attached).await.unwrap(), CommandEvent::Started);
    runner.host.runner.lock().kill();
    assert!(matches!(next(&mut attached).await, Err(ShellError::NotReady)));
    assert!(matches!(runner.shell.probe(&task()).await, Err(ShellError::NotReady)));
    runner.host.gone.store(true, SeqCst);
    assert!(matches!(next(&mut attached).await, Err(ShellError::Gone)));
    assert!(matches!(runner.shell.probe(&task()).await, Err(ShellError::Gone)));
}

#[tokio::test]
async fn the_conformance_suite_of_the_port_passes() {
    if RealRunner::start_apart().is_none() {
        return;
    }
    conformance::shell_suite(async || suite(Duration::ZERO)).await;
    conformance::shell_suite(async || suite(Duration::from_secs(60))).await;
}

fn suite(keep_idle: Duration) -> conformance::ShellUnderTest {
    let runner = Runner::of(RealRunner::start_apart().unwrap(), keep_idle);
    conformance::ShellUnderTest {
        shell: Arc::new(runner.shell),
        task: task(),
        clock: Arc::new(SystemClock),
    }
}

#[test]
fn the_domain_knows_how_many_commands_a_runner_runs() {
    assert_eq!(domain::job::MAX_RUNNING, runner::protocol::MAX_RUNNING);
}
