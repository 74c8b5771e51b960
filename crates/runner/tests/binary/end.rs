//! Timeouts, signals, leftover processes and shutdown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use runner::protocol::{Cause, Ended, Event, Output, Request, Start};
use rustix::process::{Pid, Signal, kill_process};

use crate::shell::{Shell, argv, sh};

const TIMEOUT: Duration = Duration::from_secs(150);

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !check() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

fn is_running(pid: &str) -> bool {
    let state = |stat: &str| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| state(&stat) != Some('Z'))
}

fn children(shell: &Shell) -> String {
    fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.process.id())).unwrap()
}

#[test]
fn the_timeout_ends_a_job_with_sigterm() {
    let start = argv("job_1", &["sleep", "1000"]);
    let ran = Shell::boot().run(Start { timeout_ms: 100, ..start });
    assert_eq!(ran.exit.cause, Cause::TimedOut { ended: Ended::Signal(libc::SIGTERM) });
    assert!((100..5_000).contains(&ran.exit.usage.wall_ms), "{:?}", ran.exit.usage);
}

#[test]
fn a_job_that_handles_sigterm_at_its_timeout_reports_its_own_exit_code() {
    let command = "trap 'echo bye; exit 9' TERM; while :; do sleep 0.01; done";
    let ran = Shell::boot().run(Start { timeout_ms: 300, ..sh("job_1", command) });
    assert_eq!(ran.exit.cause, Cause::TimedOut { ended: Ended::Code(9) });
    assert_eq!(ran.text(), "bye\n");
}

#[test]
fn a_process_group_that_ignores_sigterm_is_killed() {
    let command =
        "trap '' TERM; (trap '' TERM; echo $$ >&2; sh -c 'echo $$; exec sleep 1000') & wait";
    let ran = Shell::boot().run(Start { timeout_ms: 200, ..sh("job_1", command) });
    assert_eq!(ran.exit.cause, Cause::TimedOut { ended: Ended::Signal(libc::SIGKILL) });
    assert!(ran.exit.usage.wall_ms >= 5_200, "{:?}", ran.exit.usage);
    let child = ran.text().trim().to_owned();
    eventually("the child has ended", || !is_running(&child));
}

#[test]
fn a_background_process_ends_with_its_job() {
    let ran = Shell::boot().run(sh("job_1", "sleep 1000 & echo $!; exit 4"));
    assert_eq!(ran.code(), 4);
    assert!(ran.exit.usage.wall_ms < 10_000);
    let child = ran.text().trim().to_owned();
    eventually("the background process has ended", || !is_running(&child));
}

#[test]
fn a_signal_reaches_the_whole_group() {
    let shell = Shell::boot();
    let mut caller = shell.connect();
    caller.send(&Request::Start(sh("job_1", "sh -c 'echo in; exec sleep 1000'; echo out")));
    caller.until("in");
    let signal = Request::Signal { job_id: "job_1".into(), signal: libc::SIGUSR1 };
    assert_eq!(shell.ask(signal), Event::Ok);
    assert_eq!(caller.finish().exit.cause, Cause::Signalled { signal: libc::SIGUSR1 });
}

#[test]
fn signals_to_an_ended_job_and_invalid_signal_numbers_are_rejected() {
    let shell = Shell::boot();
    shell.run(sh("job_1", "true"));
    let mut caller = shell.connect();
    caller.send(&Request::Start(argv("job_2", &["sleep", "1000"])));
    assert_eq!(caller.next(), Event::Started);
    for (job, signal) in [("job_1", 15), ("job_2", 0), ("job_2", -9), ("job_2", 1000)] {
        let answer = shell.ask(Request::Signal { job_id: job.into(), signal });
        assert!(matches!(answer, Event::Error { .. }), "{job} {signal}: {answer:?}");
    }
}

#[test]
fn jobs_run_concurrently() {
    let shell = Shell::boot();
    let mut callers: Vec<_> = (0..20).map(|_| shell.connect()).collect();
    // Each job waits for the signal, so all jobs run at the same time before any of them ends.
    let command = "trap 'echo done; exit' USR1; echo up; while :; do sleep 0.01; done";
    for (number, caller) in callers.iter_mut().enumerate() {
        caller.send(&Request::Start(sh(&format!("job_{number}"), command)));
    }
    callers.iter_mut().for_each(|caller| drop(caller.until("up")));
    for number in 0..20 {
        let job_id = format!("job_{number}");
        let signal = Request::Signal { job_id, signal: libc::SIGUSR1 };
        assert_eq!(shell.ask(signal), Event::Ok);
    }
    callers.iter_mut().for_each(|caller| drop(caller.finish()));
}

#[test]
fn a_job_beyond_the_limit_gets_a_retryable_error_and_runs_later() {
    let shell = Shell::boot();
    let mut callers: Vec<_> = (0..96).map(|_| shell.connect()).collect();
    for (number, caller) in callers.iter_mut().enumerate() {
        caller.send(&Request::Start(argv(&format!("job_{number}"), &["sleep", "1000"])));
        assert_eq!(caller.next(), Event::Started);
    }
    let mut late = shell.connect();
    late.send(&Request::Start(sh("late", "echo late")));
    assert!(matches!(late.next(), Event::Error { retryable: true, .. }));
    assert_eq!(shell.ask(Request::Cancel { job_id: "job_0".into() }), Event::Ok);
    callers[0].finish();
    late.send(&Request::Start(sh("late", "echo late")));
    assert_eq!(late.finish().text(), "late\n");
}

#[test]
fn orphans_are_reaped() {
    let shell = Shell::boot();
    let command = "i=0; while [ $i -lt 50 ]; do (setsid true &); i=$((i+1)); done";
    assert_eq!(shell.run(sh("job_1", command)).code(), 0);
    eventually("no child is left", || children(&shell).is_empty());
}

#[test]
fn hundreds_of_processes_end_with_one_cancel() {
    let shell = Shell::boot();
    let mut caller = shell.connect();
    let command = "i=0; while [ $i -lt 300 ]; do sleep 1000 & i=$((i+1)); done; echo up; wait";
    caller.send(&Request::Start(sh("job_1", command)));
    caller.until("up");
    assert_eq!(shell.ask(Request::Cancel { job_id: "job_1".into() }), Event::Ok);
    assert!(matches!(caller.finish().exit.cause, Cause::Cancelled { ended: Some(_) }));
    eventually("no child is left", || children(&shell).is_empty());
}

#[test]
fn shutdown_interrupts_jobs_reports_them_and_exits_with_success() {
    let mut shell = Shell::boot();
    let mut first = shell.connect();
    first.send(&Request::Start(argv("job_1", &["sleep", "1000"])));
    assert_eq!(first.next(), Event::Started);
    let mut caller = shell.connect();
    caller.send(&Request::Start(sh("job_2", "trap '' TERM; echo up; while :; do sleep 1; done")));
    caller.until("up");
    shell.terminate();
    let asked = Instant::now();
    let interrupted = |signal| Cause::Interrupted { ended: Ended::Signal(signal) };
    assert_eq!(first.finish().exit.cause, interrupted(libc::SIGTERM));
    assert_eq!(caller.finish().exit.cause, interrupted(libc::SIGKILL));
    assert!(shell.process.wait().unwrap().success());
    // The server kills the runner after 5 s.
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

/// A cgroup whose processes don't run, and don't end by SIGKILL either. Dropping it kills them.
struct Freezer(PathBuf);

impl Freezer {
    /// Stops this process. Returns `None` and prints the reason where the first version of cgroups has no
    /// freezer: in the second version SIGKILL ends a process that is frozen.
    fn freeze(pid: &str) -> Option<Self> {
        let all = Path::new("/sys/fs/cgroup/freezer");
        if !all.exists() {
            println!("SKIPPED: no process can be frozen: {} does not exist", all.display());
            return None;
        }
        let directory = all.join(format!("runner-test-{pid}"));
        fs::create_dir(&directory).unwrap();
        let freezer = Self(directory);
        fs::write(freezer.0.join("cgroup.procs"), pid).unwrap();
        fs::write(freezer.0.join("freezer.state"), "FROZEN").unwrap();
        let is_frozen =
            || fs::read_to_string(freezer.0.join("freezer.state")).unwrap().trim() == "FROZEN";
        eventually("the process is frozen", is_frozen);
        Some(freezer)
    }

    /// Kills the processes in this cgroup. Returns whether there was none.
    fn kill(&self) -> bool {
        let Ok(pids) = fs::read_to_string(self.0.join("cgroup.procs")) else { return false };
        for pid in pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            // A process that ends by itself meanwhile is no failure.
            let _ = kill_process(pid, Signal::KILL);
        }
        pids.is_empty()
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
        let deadline = Instant::now() + TIMEOUT;
        while !(self.kill() && fs::remove_dir(&self.0).is_ok()) {
            if Instant::now() > deadline {
                // A second panic while the test panics would abort all tests.
                assert!(std::thread::panicking(), "{} can't be removed", self.0.display());
                return;
            }
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_job_that_cannot_be_killed_does_not_keep_the_shell_alive() {
    let Some(mut shell) = Shell::boot_with_cgroup() else { return };
    let mut caller = shell.connect();
    caller.send(&Request::Start(sh("job_1", "echo $$; exec sleep 1000")));
    let job = String::from_utf8(caller.until("\n")).unwrap().trim().to_owned();
    let Some(_frozen) = Freezer::freeze(&job) else { return };
    shell.terminate();
    let ended = || shell.process.try_wait().unwrap().is_some();
    eventually("the runner has ended", ended);
    assert!(is_running(&job));
}

#[test]
fn a_job_sent_during_shutdown_is_cancelled_and_never_runs() {
    let shell = Shell::boot();
    let mut running = shell.connect();
    running.send(&Request::Start(sh("job_1", "trap '' TERM; echo up; while :; do sleep 1; done")));
    running.until("up");
    let mut connected = shell.connect();
    connected.send(&Request::Probe);
    assert!(matches!(connected.next(), Event::Ready { .. }));
    shell.terminate();
    // On a connection made before, and on new ones, until the runner has noticed the signal.
    connected.send(&Request::Start(sh("job_2", "sleep 1000")));
    let mut ended = connected.finish().exit.cause;
    for number in 3.. {
        if ended == (Cause::Cancelled { ended: None }) {
            break;
        }
        assert!(number < 100, "{ended:?}");
        let mut caller = shell.connect();
        caller.send(&Request::Start(sh(&format!("job_{number}"), "true")));
        ended = caller.finish().exit.cause;
    }
    assert_eq!(shell.run(sh("late", "echo ran")).exit.cause, Cause::Cancelled { ended: None });
}

#[test]
fn a_process_that_outlives_its_job_ends_with_the_shell() {
    let mut shell = Shell::boot();
    let mut caller = shell.connect();
    let start = sh("job_1", "setsid sh -c 'echo $$; exec sleep 1000' & wait");
    caller.send(&Request::Start(Start { background: true, ..start }));
    let child = String::from_utf8(caller.until("\n")).unwrap().trim().to_owned();
    let signal = Request::Signal { job_id: "job_1".into(), signal: libc::SIGKILL };
    assert_eq!(shell.ask(signal), Event::Ok);
    caller.finish();
    assert!(is_running(&child), "{child:?} outlives the job");
    shell.terminate();
    assert!(shell.process.wait().unwrap().success());
    assert!(!is_running(&child));
}

#[test]
fn an_idle_runner_ends_at_once() {
    let mut shell = Shell::boot();
    let _idle = shell.connect();
    shell.terminate();
    assert!(shell.process.wait().unwrap().success());
}

#[test]
fn an_unknown_option_is_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_runner")).arg("--what").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage"));
}

#[test]
fn the_runner_ends_by_itself_after_its_deadline_unless_that_is_moved() {
    let [short, moved] = [0, 0].map(|_| {
        let directory = std::rc::Rc::new(tempfile::tempdir().unwrap());
        let mut command = Shell::command(&directory);
        Shell::spawn(command.args(["--lifetime-ms", "0"]), directory)
    });
    let mut client = moved.connect();
    client.send(&Request::SetDeadline { after_ms: 600_000 });
    assert_eq!(client.next(), Event::Ok);
    let begin = Instant::now();
    let pid = short.process.id().to_string();
    while is_running(&pid) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the runner outlives its deadline");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert!(begin.elapsed() > Duration::from_secs(20), "a caller has too little time to stop it");
    assert!(is_running(&moved.process.id().to_string()));
}

#[test]
fn the_runner_takes_its_lifetime_from_the_environment_where_it_has_no_arguments() {
    let directory = std::rc::Rc::new(tempfile::tempdir().unwrap());
    let mut command = Shell::command(&directory);
    let shell = Shell::spawn(command.env("EPHEMERAL_LIFETIME_SECONDS", "0"), directory);
    let ran = shell.run(argv("job_1", &["env"]));
    assert!(!String::from_utf8_lossy(&ran.stdout).contains("LIFETIME"));
    let begin = Instant::now();
    while is_running(&shell.process.id().to_string()) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the runner outlives its deadline");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn the_runner_ends_with_its_owner() {
    let directory = std::rc::Rc::new(tempfile::tempdir().unwrap());
    let pipe = directory.path().join("owner");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let owner = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut command = Shell::command(&directory);
    let shell = Shell::spawn(command.arg("--owner").arg(&pipe), directory);
    let mut client = shell.connect();
    client.send(&Request::Start(sh("job_1", "echo armed; sleep 1000")));
    while !matches!(client.next(), Event::Output(_)) {}
    let pid = shell.process.id().to_string();
    assert!(is_running(&pid));
    drop(owner);
    eventually("the runner ends", || !is_running(&pid));
}

/// Whether a process has ended, reaped or not.
fn has_ended(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

#[test]
fn a_job_that_ended_by_itself_just_before_a_shutdown_was_not_interrupted() {
    for shell in Shell::boot_both() {
        let mut caller = shell.connect();
        caller.send(&Request::Start(sh("job_1", "echo $$ $PPID; sleep 0.2; exit 4")));
        assert_eq!(caller.next(), Event::Started);
        let Event::Output(Output { bytes, .. }) = caller.next() else { panic!("no output") };
        let runner = Pid::from_child(&shell.process);
        kill_process(runner, Signal::STOP).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (main, parent) = text.trim().split_once(' ').unwrap();
        let supervised = parent != runner.as_raw_nonzero().to_string();
        while !has_ended(main) || supervised && !has_ended(parent) {
            std::thread::yield_now();
        }
        // The signal that ends the runner is delivered before the one about its child.
        shell.terminate();
        kill_process(runner, Signal::CONT).unwrap();
        assert_eq!(caller.finish().exit.cause, Cause::Exited { code: 4 });
    }
}
