//! The real binary with a temporary server and real shells, where this host supports them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::fd::AsRawFd,
    process::{Command, Output, Stdio},
    sync::LazyLock,
    thread,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use crate::scripted_server::ephemeral;

/// Why this host supports no real shells; none if it does.
static UNSUPPORTED: LazyLock<Option<String>> = LazyLock::new(|| {
    let doctor = run(&["doctor"]);
    (!doctor.status.success()).then(|| String::from_utf8_lossy(&doctor.stdout).replace('\n', "; "))
});

fn run(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    // No server is found in an empty data directory, so `run` starts a temporary one.
    ephemeral(args).env("EPHEMERAL_DATA_DIR", dir.path()).output().expect("it runs")
}

pub(crate) fn is_unsupported() -> bool {
    if let Some(reason) = UNSUPPORTED.as_ref() {
        let written =
            writeln!(io::stdout(), "SKIPPED: this host supports no real shells: {reason}");
        written.expect("standard output is open");
    }
    UNSUPPORTED.is_some()
}

/// Runs `ephemeral run` and returns exit code, stdout and stderr; none if this host is unsupported.
fn shell(args: &[&str]) -> Option<(Option<i32>, String, String)> {
    if is_unsupported() {
        return None;
    }
    let ran = run(&[&["run"], args].concat());
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Some((ran.status.code(), text(&ran.stdout), text(&ran.stderr)))
}

#[test]
fn the_output_of_the_command_is_printed_and_nothing_else() {
    let Some(ran) = shell(&["echo out; echo err >&2"]) else { return };
    assert_eq!(ran, (Some(0), "out\n".to_owned(), "err\n".to_owned()));
}

#[test]
fn the_exit_code_of_the_command_is_passed_on() {
    let Some((code, ..)) = shell(&["exit 7"]) else { return };
    assert_eq!(code, Some(7));
}

#[test]
fn a_signal_n_exits_with_128_plus_n() {
    let Some((code, ..)) = shell(&["kill -9 $$"]) else { return };
    assert_eq!(code, Some(137));
}

#[test]
fn a_missing_program_exits_with_127_in_either_form() {
    let Some((code, _, err)) = shell(&["no-such-program"]) else { return };
    assert_eq!(code, Some(127), "{err}");
    let Some((code, _, err)) = shell(&["--", "no-such-program", "-x"]) else { return };
    assert_eq!(code, Some(127), "{err}");
    assert!(err.contains("command_not_found"), "{err}");
}

#[test]
fn a_command_that_times_out_exits_with_124() {
    let Some((code, _, err)) = shell(&["--timeout", "1s", "sleep 60"]) else { return };
    assert_eq!(code, Some(124), "{err}");
}

#[test]
fn json_is_the_job_with_its_output() {
    let Some((code, out, err)) = shell(&["--json", "printf %s hello"]) else { return };
    let job: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(job["status"], "completed");
    assert_eq!(job["stdout"]["text"], "hello");
}

#[test]
fn the_timeline_goes_from_accepted_to_stopped() {
    let Some((_, out, err)) = shell(&["--timeline", "true"]) else { return };
    assert_eq!(out, "");
    for event in ["accepted", "task_placed", "ready", "job completed", "stopped"] {
        assert!(err.contains(&format!("  {event} ")), "{event} in {err}");
    }
}

#[test]
fn options_reach_the_command() {
    let args = ["-e", "GREETING=hello", "--cwd", "/tmp", "echo $GREETING from $PWD"];
    let Some((_, out, err)) = shell(&args) else { return };
    assert_eq!(out, "hello from /tmp\n", "{err}");
}

#[test]
fn merged_output_is_printed_in_the_order_of_the_writes() {
    let line = "for i in $(seq 100); do echo o$i; echo e$i >&2; done";
    let Some(ran) = shell(&["--merge", line]) else { return };
    let expected: String = (1..=100).map(|i| format!("o{i}\ne{i}\n")).collect();
    assert_eq!(ran, (Some(0), expected, String::new()));
}

/// Runs `ephemeral run -it` on a terminal of script(1), and types this. Returns the exit code and what the
/// terminal has shown; none if this host is unsupported.
fn on_terminal(command: &str, typed: &str) -> Option<(Option<i32>, String)> {
    if is_unsupported() {
        return None;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let line = format!("stty rows 33 cols 111; exec \"$EPHEMERAL\" run -it -- {command}");
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env("EPHEMERAL", ephemeral(&[]).get_program()).env("SHELL", "/bin/sh");
    script.env("EPHEMERAL_DATA_DIR", dir.path());
    script.env_remove("EPHEMERAL_URL").env_remove("EPHEMERAL_TOKEN");
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("script is installed");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut shown = Vec::new();
    // The command is asked only when it runs, because keys of before belong to the terminal of script.
    while !String::from_utf8_lossy(&shown).contains("ready") {
        let count = stdout.read_until(b'\n', &mut shown).expect("it can be read");
        assert!(count > 0, "{}", String::from_utf8_lossy(&shown));
    }
    stdin.write_all(typed.as_bytes()).expect("it reads");
    stdout.read_to_end(&mut shown).expect("it can be read");
    drop(stdin);
    let code = child.wait().expect("it ends").code();
    Some((code, String::from_utf8_lossy(&shown).into_owned()))
}

#[test]
fn a_command_on_a_terminal_has_the_size_of_ours_and_gets_our_keys() {
    let command = "sh -c 'stty size; tty; echo ready; read line; echo got $line; exit 7'";
    let Some((code, shown)) = on_terminal(command, "a line\r") else { return };
    assert_eq!(code, Some(7), "{shown}");
    for expected in ["33 111\r\n", "/dev/pts/", "got a line\r\n"] {
        assert!(shown.contains(expected), "{expected:?} in {shown:?}");
    }
}

#[test]
fn ctrl_c_is_a_key_of_a_terminal() {
    let command =
        "sh -c 'trap \"echo caught; exit 9\" INT; echo ready; while :; do sleep 0.1; done'";
    let Some((code, shown)) = on_terminal(command, "\x03") else { return };
    assert_eq!(code, Some(9), "{shown}");
    assert!(shown.contains("^Ccaught\r\n"), "{shown:?}");
}

#[test]
fn a_terminal_whose_command_ends_at_once_shows_its_output() {
    let Some((code, out, err)) = shell(&["-it", "--", "sh", "-c", "echo out; exit 3"]) else {
        return;
    };
    assert_eq!((code, out.as_str()), (Some(3), "out\r\n"), "{err}");
}

/// Ends a command by SIGTERM that prints without end into a pipe that nobody reads; returns its exit code.
pub(crate) fn terminated_behind_a_full_pipe(mut command: Command) -> Option<i32> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let stdout = child.stdout.take().expect("it is piped");
    // Its pages are seldom full, so that the number of bytes does not tell whether it takes another page.
    let path = format!("/proc/self/fd/{}", stdout.as_raw_fd());
    let input = File::options().write(true).open(path).expect("a pipe can be opened again");
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    while poll(&mut [PollFd::new(&input, PollFlags::OUT)], Some(&at_once)).expect("a pipe") > 0 {
        thread::yield_now();
    }
    drop(input);
    let kill = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    child.wait().expect("it ends").code()
}

#[test]
fn a_full_pipe_does_not_keep_a_terminal_from_being_left() {
    if is_unsupported() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut run = ephemeral(&["run", "-it", "--", "sh", "-c", "yes"]);
    run.env("EPHEMERAL_DATA_DIR", dir.path());
    assert_eq!(terminated_behind_a_full_pipe(run), Some(128 + 15));
}

#[test]
fn ctrl_c_reaches_the_command_and_its_last_output_is_printed() {
    let script = "trap 'echo bye; exit 3' INT; echo started; while :; do sleep 0.1; done";
    let Some(ran) = interrupted(script) else { return };
    assert_eq!(ran.status.code(), Some(3), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "bye\n");
}

#[test]
fn an_interrupted_run_cleans_up_and_exits_with_130() {
    let Some(ran) = interrupted("echo started; sleep 60") else { return };
    assert_eq!(ran.status.code(), Some(130), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// Sends SIGINT to `ephemeral run SCRIPT` after it has printed `started`. Returns the rest of its output
/// after a check that it left no files; none if this host is unsupported.
fn interrupted(script: &str) -> Option<Output> {
    if is_unsupported() {
        return None;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = ephemeral(&["run", script])
        .env("EPHEMERAL_DATA_DIR", dir.path().join("none"))
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    out.read_line(&mut line).expect("it prints a line");
    assert_eq!(line, "started\n");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).expect("it can be read");
    let ran = child.wait_with_output().expect("it ends");
    assert_eq!(dir.path().read_dir().expect("it is there").count(), 0);
    Some(Output { stdout: rest, ..ran })
}
