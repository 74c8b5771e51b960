//! The program as the runner starts it: with a token that no command can read.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use runner::protocol::{Cause, Decoder, Event, Message, Request};
use testkit::RealRunner;

use crate::service::start;

/// Far above what any step takes.
const TIMEOUT: Duration = Duration::from_secs(60);
const TOKEN: &str = "token-of-this-test";

/// A runner with the environment of a task, and the server that is its metadata endpoint and its service.
struct Task {
    runner: Child,
    server: TcpListener,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Task {
    fn start() -> Option<Self> {
        let binary = RealRunner::binary()?;
        let directory = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let socket = directory.path().join("sock");
        let mut command = Command::new(binary);
        command.arg("--socket").arg(&socket).arg("--jobs").arg(directory.path().join("jobs"));
        if !rustix::process::geteuid().is_root() {
            command.arg("--keep-user");
        }
        command
            .env("EPHEMERAL_LINK_URL", format!("ws://{address}"))
            .env("EPHEMERAL_LINK_TOKEN", TOKEN)
            .env("ECS_CONTAINER_METADATA_URI_V4", format!("http://{address}/v4/1"));
        let runner = command.spawn().unwrap();
        Some(Self { runner, server, socket, _directory: directory })
    }

    /// The header of the next upgrade request, after the requests for the task's name.
    fn upgrade(&self) -> (Vec<String>, TcpStream) {
        loop {
            let (mut stream, _) = self.server.accept().unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let header: Vec<String> =
                lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            if header[0].starts_with("GET /v4/1/task ") {
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n{\"TaskARN\":\"arn:task\"}").unwrap();
            } else {
                return (header, stream);
            }
        }
    }

    fn run(&self, line: &str) -> (Cause, String) {
        let began = Instant::now();
        let mut stream = loop {
            match UnixStream::connect(&self.socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < TIMEOUT, "{error}"),
            }
        };
        stream.write_all(&Request::Start(start("j", line, (0, 0))).encode().unwrap()).unwrap();
        let (mut decoder, mut stdout) = (Decoder::<Event>::default(), Vec::new());
        loop {
            while let Some(event) = decoder.next().unwrap() {
                if let Event::Output(output) = event {
                    stdout.extend(output.bytes);
                } else if let Event::Exited(exit) = event {
                    return (exit.cause, String::from_utf8(stdout).unwrap());
                }
            }
            let mut buffer = [0; 4096];
            let count = std::io::Read::read(&mut stream, &mut buffer).unwrap();
            decoder.feed(&buffer[..count]);
        }
    }

    /// The process of the program.
    fn program(&self) -> i32 {
        let pid = self.runner.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let mut pids = children.split_whitespace().map(|pid| pid.parse::<i32>().unwrap());
        pids.find(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim() == "runner-link"
        })
        .unwrap()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.runner);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.runner.wait().unwrap();
    }
}

#[test]
fn the_runner_starts_the_program_and_starts_it_again() {
    let Some(task) = Task::start() else { return };
    for _ in 0..2 {
        let (header, _stream) = task.upgrade();
        assert!(header.contains(&format!("authorization: Bearer {TOKEN}")), "{header:?}");
        assert!(header.contains(&"x-ephemeral-task: arn:task".to_owned()), "{header:?}");
        let pid = rustix::process::Pid::from_raw(task.program()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

#[test]
fn a_command_finds_the_token_nowhere() {
    let Some(task) = Task::start() else { return };
    let (_, _stream) = task.upgrade();
    let (runner, program) = (task.runner.id(), task.program());
    // Not in this line either, of which each process has a copy.
    let line = format!(
        "token=token-of; token=$token-this-test
        echo searched; env | grep $token
        for pid in {runner} {program} $$ $PPID; do
            cat /proc/$pid/cmdline | tr '\\0' '\\n' | grep $token
            for file in environ mem maps fd/0 fd/3 fd/4 fd/5 fd/6 fd/7; do
                test $pid = $$ && test $file != environ && continue
                (head -c 100000 /proc/$pid/$file | tr '\\0' '\\n' | grep $token) 2>/dev/null
            done
        done
        (head -c 1 </proc/{runner}/mem && echo mem) 2>/dev/null
        (head -c 1 </proc/{program}/mem && echo mem) 2>/dev/null
        (ls /proc/{program}/fd && echo files) 2>/dev/null
        exit 0"
    );
    let (cause, stdout) = task.run(&line);
    assert_eq!(cause, Cause::Exited { code: 0 });
    if rustix::process::geteuid().is_root() {
        assert_eq!(stdout, "searched\n");
        let environ = std::fs::read_to_string(format!("/proc/{runner}/environ")).unwrap();
        assert!(environ.contains("EPHEMERAL_LINK_URL"));
        assert!(!environ.contains(TOKEN));
    } else {
        // Commands run as the runner's user then, and a service is for runners that switch users.
        println!("SKIPPED: only root can run commands as another user");
    }
}
