//! The real binary with a server of its own and real shells, where this host can make them.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

use crate::stub::ephemeral;

/// Why there are no real shells here, if so.
static UNFIT: LazyLock<Option<String>> = LazyLock::new(|| {
    let doctor = run(&["doctor"]);
    (!doctor.status.success()).then(|| String::from_utf8_lossy(&doctor.stdout).replace('\n', "; "))
});

fn run(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    // An empty data directory: no server is found, so it starts its own.
    ephemeral(args).env("EPHEMERAL_DATA_DIR", dir.path()).output().expect("it runs")
}

fn is_unfit() -> bool {
    if let Some(reason) = UNFIT.as_ref() {
        let told = writeln!(io::stdout(), "SKIPPED: no real shells here: {reason}");
        told.expect("a test can say why it is skipped");
    }
    UNFIT.is_some()
}

/// Runs it and says what it left: exit code, stdout, stderr. Nothing if this host is unfit.
fn shell(args: &[&str]) -> Option<(Option<i32>, String, String)> {
    if is_unfit() {
        return None;
    }
    let ran = run(&[&["run"], args].concat());
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Some((ran.status.code(), text(&ran.stdout), text(&ran.stderr)))
}

#[test]
fn a_command_says_what_it_has_to_say_and_nothing_else() {
    let Some(ran) = shell(&["echo out; echo err >&2"]) else { return };
    assert_eq!(ran, (Some(0), "out\n".to_owned(), "err\n".to_owned()));
}

#[test]
fn its_exit_code_is_ours() {
    let Some((code, ..)) = shell(&["exit 7"]) else { return };
    assert_eq!(code, Some(7));
}

#[test]
fn a_signal_is_128_and_its_number() {
    let Some((code, ..)) = shell(&["kill -9 $$"]) else { return };
    assert_eq!(code, Some(137));
}

#[test]
fn a_missing_program_is_127_in_either_form() {
    let Some((code, _, err)) = shell(&["no-such-program"]) else { return };
    assert_eq!(code, Some(127), "{err}");
    let Some((code, _, err)) = shell(&["--", "no-such-program", "-x"]) else { return };
    assert_eq!(code, Some(127), "{err}");
    assert!(err.contains("command_not_found"), "{err}");
}

#[test]
fn a_command_that_takes_too_long_is_124() {
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
fn the_timeline_tells_from_accepted_to_stopped() {
    let Some((_, out, err)) = shell(&["--timeline", "true"]) else { return };
    assert_eq!(out, "");
    for what in ["accepted", "task_placed", "ready", "job completed", "stopped"] {
        assert!(err.contains(&format!("  {what} ")), "{what} in {err}");
    }
}

#[test]
fn options_reach_the_command() {
    let args = ["-e", "GREETING=hello", "--cwd", "/tmp", "echo $GREETING from $PWD"];
    let Some((_, out, err)) = shell(&args) else { return };
    assert_eq!(out, "hello from /tmp\n", "{err}");
}

#[test]
fn an_interrupted_run_cleans_up_and_says_so_by_its_exit_code() {
    if is_unfit() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = ephemeral(&["run", "echo started; sleep 60"])
        .env("EPHEMERAL_DATA_DIR", dir.path().join("none"))
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut line = String::new();
    let out = child.stdout.take().expect("it is piped");
    BufReader::new(out).read_line(&mut line).expect("it says something");
    assert_eq!(line, "started\n");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let ran = child.wait_with_output().expect("it ends");

    assert_eq!(ran.status.code(), Some(130), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(dir.path().read_dir().expect("it is there").count(), 0);
}
