//! The suite of the port `Shell`, for a runner that has `sh`, `echo`, `cat` and `sleep`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    JobId, Secret, TaskId,
    command::{Command, Keep, Program},
    job::{Exit, StreamStats},
    marks::{Mark, Marks},
    ports::{Clock, CommandEnd, CommandEvent, EndCause, Shell, ShellError, Stream},
};

use super::run_cases;
use crate::{MemoryShell, Script, command, job_id};

/// An implementation of `Shell`, and a task whose runner answers.
#[derive(Clone)]
pub struct ShellUnderTest {
    /// The port.
    pub shell: Arc<dyn Shell>,
    /// The task.
    pub task: TaskId,
    /// The clock that the shell uses.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ShellUnderTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShellUnderTest").field("task", &self.task).finish_non_exhaustive()
    }
}

const SPEAKS: &str = "echo out; echo err >&2; exit 3";
const APPENDS: &str = "echo run >> /tmp/conformance; cat /tmp/conformance";
const SPEAKS_IN_SHELL: &str = "echo in";
const ENDS_SHELL: &str = "exit 4";
const SLEEPS: &str = "sleep 100";
const COUNTS: &str = "echo 0123456789";

/// Sets the scripts of the suite's commands on a fake.
pub fn script_suite_commands(shell: &MemoryShell) {
    let zero = Duration::ZERO;
    let speaks = Script::prints("out\n").then(zero, Stream::Stderr, "err\n").exits(3);
    shell.script(SPEAKS, speaks);
    shell.script(SPEAKS_IN_SHELL, Script::prints("in\n"));
    shell.script(ENDS_SHELL, Script::default().exits(4).ends_shell());
    shell.script(APPENDS, Script::prints("run\n"));
    shell.script(SLEEPS, Script::default().lasts(Duration::from_secs(100)));
    shell.script(COUNTS, Script::prints("0123456789\n"));
    let cause = EndCause::NotFound("no such program".into());
    shell.script("/no/such/program", Script::default().ends(cause, None));
}

/// Runs all cases, each in a task of its own.
pub async fn shell_suite(make: impl AsyncFn() -> ShellUnderTest) {
    run_cases!(make =>
        a_shell_that_answers_can_be_probed,
        a_command_reports_its_output_and_its_end,
        merged_output_is_one_stream_with_marks,
        a_shared_shell_is_found_again,
        a_known_job_is_never_run_again,
        a_second_worker_gets_the_output_that_is_not_stored_yet,
        output_beyond_the_limit_is_counted_but_not_sent,
        the_end_of_longer_output_comes_behind_a_gap,
        a_command_is_ended_at_its_deadline,
        a_cancelled_command_ends,
        a_job_cancelled_before_its_start_never_runs,
        a_signal_reaches_the_command,
        a_missing_program_is_reported,
        waiting_for_a_silent_command_ends_in_time,
        a_released_job_is_still_known,
    );
}

async fn a_shell_that_answers_can_be_probed(made: &ShellUnderTest) {
    made.shell.probe(&made.task).await.unwrap();
}

async fn a_command_reports_its_output_and_its_end(made: &ShellUnderTest) {
    let heard = made.run("j", &command(SPEAKS)).await;
    assert!(heard.started);
    assert_eq!((heard.stdout.as_str(), heard.stderr.as_str()), ("out\n", "err\n"));
    let end = heard.end;
    assert_eq!((end.cause, end.exit), (EndCause::Exited, Some(Exit::Code(3))));
    assert_eq!((end.stdout_written, end.stderr_written), (4, 4));
}

async fn merged_output_is_one_stream_with_marks(made: &ShellUnderTest) {
    let merged = || Command { merge: true, marks: true, ..command(SPEAKS) };
    let heard = made.run("j", &merged()).await;
    // A mark at 0 for stdout, and 4 bytes behind it one for stderr.
    assert_eq!((heard.stdout.as_str(), heard.stderr.as_str()), ("out\nerr\n", "\x00\x11"));
    assert_eq!((heard.end.stdout_written, heard.end.stderr_written), (8, 2));
    let marks = Marks::read(heard.stderr.as_bytes(), StreamStats::NOTHING.plus(2));
    let mark = |offset, stream| Mark { offset, stream: Some(stream) };
    assert_eq!(marks.of_part(0, 8), [mark(0, Stream::Stdout), mark(4, Stream::Stderr)]);
    let again = made.hear("j", &merged(), (5, 1)).await;
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("rr\n", "\x11"));
}

async fn a_shared_shell_is_found_again(made: &ShellUnderTest) {
    let shared = |name: &str, line: &str| Command {
        shared_shell: Some(name.to_owned()),
        background: true,
        ..command(line)
    };
    let mut used = Vec::new();
    for (job, shell, line) in [
        ("j", "one", SPEAKS_IN_SHELL),
        ("k", "one", ENDS_SHELL),
        ("l", "one", SPEAKS_IN_SHELL),
        ("m", "two", SPEAKS_IN_SHELL),
        ("n", "one", SPEAKS_IN_SHELL),
    ] {
        let heard = made.run(job, &shared(shell, line)).await;
        let shell = heard.end.shell.expect("what became of the shell");
        used.push((heard.stdout, shell.is_new, shell.has_ended));
    }
    let speaks = |is_new| ("in\n".to_owned(), is_new, false);
    let ends = (String::new(), false, true);
    assert_eq!(used, [speaks(true), ends, speaks(true), speaks(true), speaks(false)]);
    assert_eq!(made.run("o", &command(SPEAKS)).await.end.shell, None);
}

async fn a_known_job_is_never_run_again(made: &ShellUnderTest) {
    assert_eq!(made.run("j", &command(APPENDS)).await.stdout, "run\n");
    assert_eq!(made.run("j", &command(APPENDS)).await.stdout, "run\n");
    // Another command under the same job id is not run either.
    assert_eq!(made.run("j", &command(SPEAKS)).await.stdout, "run\n");
}

async fn a_second_worker_gets_the_output_that_is_not_stored_yet(made: &ShellUnderTest) {
    made.run("j", &command(SPEAKS)).await;
    let heard = made.hear("j", &command(SPEAKS), (2, 4)).await;
    assert_eq!((heard.stdout.as_str(), heard.stderr.as_str()), ("t\n", ""));
    assert_eq!(heard.end.stdout_written, 4);
}

async fn output_beyond_the_limit_is_counted_but_not_sent(made: &ShellUnderTest) {
    let (max_output_bytes, keep) = (4, Keep::Head);
    let heard = made.run("j", &Command { max_output_bytes, keep, ..command(COUNTS) }).await;
    assert_eq!((heard.stdout.as_str(), heard.gap), ("0123", None));
    assert_eq!(heard.end.stdout_written, 11);
}

async fn the_end_of_longer_output_comes_behind_a_gap(made: &ShellUnderTest) {
    let command = |keep| Command { max_output_bytes: 5, keep, ..command(COUNTS) };
    let both = made.run("both", &command(Keep::Both)).await;
    assert_eq!((both.stdout.as_str(), both.gap), ("0129\n", Some((3, 9))));
    let tail = made.run("tail", &command(Keep::Tail)).await;
    assert_eq!((tail.stdout.as_str(), tail.gap), ("6789\n", Some((0, 6))));
    assert_eq!((both.end.stdout_written, tail.end.stdout_written), (11, 11));
    let again = made.hear("both", &command(Keep::Both), (10, 0)).await;
    assert_eq!((again.stdout.as_str(), again.gap), ("\n", None));
}

async fn a_command_is_ended_at_its_deadline(made: &ShellUnderTest) {
    let timeout = Duration::from_secs(1);
    let end = made.run("j", &Command { timeout, ..command(SLEEPS) }).await.end;
    assert_eq!(end.cause, EndCause::TimedOut);
    assert_eq!(end.exit, Some(Exit::Signal(15)));
}

async fn a_cancelled_command_ends(made: &ShellUnderTest) {
    made.begin("j").await;
    made.shell.cancel(&made.task, job_id("j")).await.unwrap();
    let end = made.run("j", &command(SLEEPS)).await.end;
    assert_eq!((end.cause, end.exit), (EndCause::Cancelled, Some(Exit::Signal(15))));
}

async fn a_job_cancelled_before_its_start_never_runs(made: &ShellUnderTest) {
    made.shell.cancel(&made.task, job_id("j")).await.unwrap();
    let heard = made.run("j", &command(APPENDS)).await;
    assert_eq!((heard.started, heard.stdout.as_str()), (false, ""));
    assert_eq!((heard.end.cause, heard.end.exit), (EndCause::Cancelled, None));
}

async fn a_signal_reaches_the_command(made: &ShellUnderTest) {
    made.begin("j").await;
    made.shell.signal(&made.task, job_id("j"), 9).await.unwrap();
    let end = made.run("j", &command(SLEEPS)).await.end;
    assert_eq!((end.cause, end.exit), (EndCause::Exited, Some(Exit::Signal(9))));
    made.shell.signal(&made.task, job_id("j"), 9).await.unwrap();
    let early = made.shell.signal(&made.task, job_id("unknown"), 9).await;
    assert!(matches!(early, Err(ShellError::NotReady)), "{early:?}");
}

async fn a_missing_program_is_reported(made: &ShellUnderTest) {
    let program = Secret::new(Program::Argv(vec!["/no/such/program".into()]));
    let heard = made.run("j", &Command { program, ..command("") }).await;
    assert!(matches!(heard.end.cause, EndCause::NotFound(_)), "{:?}", heard.end);
    assert_eq!(heard.end.exit, None);
}

async fn waiting_for_a_silent_command_ends_in_time(made: &ShellUnderTest) {
    made.begin("j").await;
    let mut attached = made.attach(job_id("j"), &command(SLEEPS), (0, 0)).await;
    let until = made.clock.now() + Duration::from_millis(200);
    loop {
        match attached.next(until).await.unwrap() {
            Some(CommandEvent::Started) => {}
            Some(other) => panic!("{other:?} came of a command that sleeps"),
            None => break,
        }
    }
    assert!(made.clock.now() >= until);
    made.shell.cancel(&made.task, job_id("j")).await.unwrap();
}

async fn a_released_job_is_still_known(made: &ShellUnderTest) {
    let first = made.run("j", &command(APPENDS)).await;
    made.shell.release(&made.task, job_id("j")).await.unwrap();
    made.shell.release(&made.task, job_id("j")).await.unwrap();
    let again = made.hear("j", &command(APPENDS), (4, 0)).await;
    assert_eq!((again.stdout.as_str(), again.end), ("", first.end));
}

/// All events of a command.
struct Observed {
    started: bool,
    stdout: String,
    stderr: String,
    /// The offsets of a gap in one of the streams.
    gap: Option<(u64, u64)>,
    end: CommandEnd,
}

impl ShellUnderTest {
    async fn attach(
        &self,
        job: JobId,
        command: &Command,
        from: (u64, u64),
    ) -> Box<dyn domain::ports::Attached> {
        let started = self.shell.start(&self.task, job, command, &BTreeMap::new(), from).await;
        started.unwrap().attached().expect("this shell follows commands over connections")
    }

    async fn run(&self, job: &str, command: &Command) -> Observed {
        self.hear(job, command, (0, 0)).await
    }

    /// Starts the command that sleeps, and waits until it runs.
    async fn begin(&self, job: &str) {
        let mut attached = self.attach(job_id(job), &command(SLEEPS), (0, 0)).await;
        let until = self.clock.now() + Duration::from_secs(10);
        assert_eq!(attached.next(until).await.unwrap(), Some(CommandEvent::Started));
    }

    async fn hear(&self, job: &str, command: &Command, mut from: (u64, u64)) -> Observed {
        let mut attached = self.attach(job_id(job), command, from).await;
        let until = self.clock.now() + Duration::from_secs(20);
        let (mut started, mut stdout, mut stderr) = (false, Vec::new(), Vec::new());
        let mut gap = None;
        loop {
            match attached.next(until).await.unwrap().expect("the command ends in time") {
                CommandEvent::Started => started = true,
                CommandEvent::Output { stream, offset, bytes } => {
                    let (kept, next) = match stream {
                        Stream::Stdout => (&mut stdout, &mut from.0),
                        Stream::Stderr => (&mut stderr, &mut from.1),
                    };
                    if offset != *next {
                        assert!(offset > *next && gap.is_none(), "output comes in order");
                        gap = Some((*next, offset));
                    }
                    *next = offset + bytes.len() as u64;
                    kept.extend(bytes);
                }
                CommandEvent::Ended(end) => {
                    let text =
                        |bytes| String::from_utf8(bytes).expect("the suite's output is text");
                    let (stdout, stderr) = (text(stdout), text(stderr));
                    return Observed { started, stdout, stderr, gap, end };
                }
            }
        }
    }
}
