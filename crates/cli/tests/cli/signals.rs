//! Signals to the binary while it follows a job.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::fake_server::{FakeJob, FakeServer};

const EXEC: [&str; 3] = ["exec", "sh_1", "make"];

/// The binary, after it has printed the line `started`.
struct Started {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

/// The exit code, and what followed `started` on standard output.
type Ended = (Option<i32>, String);

impl Started {
    fn new(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it prints a line");
        assert_eq!(line, "started\n");
        Self { child, stdout }
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    fn ended(mut self) -> Ended {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("it is UTF-8");
        (self.child.wait().expect("it ends").code(), rest)
    }
}

fn job<const N: usize>(ends: [(&'static str, Value); N]) -> FakeJob {
    FakeJob { last_output: "bye\n", ..FakeJob::new("started\n", ends) }
}

fn cancelled() -> Value {
    json!({"status": "cancelled", "signal": 15})
}

#[test]
fn ctrl_c_interrupts_the_command_and_its_output_is_printed_to_the_end() {
    let ends = [("signal", json!({"status": "completed", "exitCode": 3}))];
    let server = FakeServer::new(job(ends));
    let started = Started::new(server.command(&EXEC));
    started.signal("INT");

    assert_eq!(started.ended(), (Some(3), "bye\n".to_owned()));
    assert_eq!(server.sent("POST /v1/jobs/job_1/signal"), json!({"signal": "INT"}));
    assert_eq!(server.count("POST /v1/jobs/job_1/cancel"), 0);
}

#[test]
fn a_command_that_ctrl_c_ended_exits_with_130() {
    let server = FakeServer::new(job([("signal", json!({"status": "completed", "signal": 2}))]));
    let started = Started::new(server.command(&EXEC));
    started.signal("INT");
    assert_eq!(started.ended(), (Some(130), "bye\n".to_owned()));
}

#[test]
fn a_second_ctrl_c_cancels_the_job() {
    let server = FakeServer::new(job([("signal", Value::Null), ("cancel", cancelled())]));
    let started = Started::new(server.command(&EXEC));
    started.signal("INT");
    server.wait_for("POST /v1/jobs/job_1/signal");
    started.signal("INT");

    assert_eq!(started.ended(), (Some(130), "bye\n".to_owned()));
    assert_eq!(server.count("POST /v1/jobs/job_1/signal"), 1);
}

#[test]
fn ctrl_c_cancels_a_job_that_can_not_receive_a_signal() {
    let server = FakeServer::new(job([("cancel", cancelled())]));
    let started = Started::new(server.command(&EXEC));
    started.signal("INT");
    assert_eq!(started.ended(), (Some(130), "bye\n".to_owned()));
}

#[test]
fn the_other_signals_cancel_the_job_and_have_their_exit_codes() {
    for (signal, code) in [("HUP", 129), ("QUIT", 131), ("TERM", 143)] {
        let server = FakeServer::new(job([("cancel", cancelled())]));
        let started = Started::new(server.command(&EXEC));
        started.signal(signal);

        assert_eq!(started.ended(), (Some(code), "bye\n".to_owned()), "{signal}");
        assert_eq!(server.count("POST /v1/jobs/job_1/signal"), 0, "{signal}");
    }
}

#[test]
fn the_other_signals_stop_the_shell_of_run() {
    for (signal, code) in [("HUP", 129), ("QUIT", 131), ("TERM", 143)] {
        let server = FakeServer::new(job([("cancel", cancelled())]));
        let started = Started::new(server.command(&["run", "make"]));
        started.signal(signal);

        assert_eq!(started.ended().0, Some(code), "{signal}");
        // The first stop asks the session to drain.
        assert_eq!(server.count("POST /v1/shell/stop"), 2, "{signal}");
        assert_eq!(server.count("GET /v1/jobs/job_2"), 1, "{signal}");
    }
}

#[test]
fn a_hangup_cancels_the_job_although_the_terminal_is_gone() {
    for args in [["exec", "sh_1", "make"], ["run", "--", "make"]] {
        let server = FakeServer::new(job([("cancel", cancelled())]));
        let mut started = Started::new(server.command(&args));
        started.signal("HUP");
        drop(started.stdout);
        assert_eq!(started.child.wait().expect("it ends").code(), Some(129), "{args:?}");
    }
}

#[test]
fn nohup_keeps_the_job_running_after_a_hangup() {
    let server = FakeServer::new(job([
        ("cancel", cancelled()),
        ("signal", json!({"status": "completed", "exitCode": 5})),
    ]));
    let exec = server.command(&EXEC);
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap '' HUP; exec "$0" "$@""#]).arg(exec.get_program());
    command.args(exec.get_args());
    for (name, value) in exec.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let started = Started::new(command);
    started.signal("HUP");
    started.signal("INT");

    assert_eq!(started.ended(), (Some(5), "bye\n".to_owned()));
    assert_eq!(server.count("POST /v1/jobs/job_1/cancel"), 0);
}
