//! A runner, the program, and a service that stores what it reports.

use std::{
    fs,
    io::{Seek, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use link::{
    frame::{FromRunner, Report, ToRunner},
    split,
};
use runner::protocol::{Exit, Keep, Offsets, Start, Stream};
use testkit::RealRunner;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// Far above what any step takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The program, linked to a service that this test plays.
pub(crate) struct Linked {
    runner: RealRunner,
    listener: std::net::TcpListener,
    token: fs::File,
    program: Child,
}

/// One connection of the program.
pub(crate) struct Service {
    socket: WebSocketStream<TcpStream>,
    pub(crate) token: String,
    pub(crate) task: String,
    pub(crate) attempt: u64,
    runs: u32,
}

/// What the service has of a job.
#[derive(Debug, Default)]
pub(crate) struct Job {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit: Option<Exit>,
}

impl Linked {
    pub(crate) fn start() -> Option<Self> {
        let runner = RealRunner::start()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut token = tempfile::tempfile().unwrap();
        token.write_all(b"first\n").unwrap();
        let program = spawn(&runner, &listener, &token);
        Some(Self { runner, listener, token, program })
    }

    /// Kills the program and starts another one.
    pub(crate) fn restart(&mut self) {
        self.program.start_kill().unwrap();
        self.token.rewind().unwrap();
        self.program = spawn(&self.runner, &self.listener, &self.token);
    }

    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.program.id().unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    pub(crate) async fn ended(&mut self, within: Duration) -> bool {
        matches!(timeout(within, self.program.wait()).await, Ok(Ok(status)) if status.success())
    }

    /// A directory in which commands may write, as the working directory of this one.
    pub(crate) fn in_directory(&self, start: Start) -> (Start, PathBuf) {
        let directory = self.runner.dir().join("of-commands");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        (Start { cwd: Some(directory.display().to_string()), ..start }, directory)
    }

    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    pub(crate) async fn accept(&self) -> Service {
        let listener = TcpListener::from_std(self.listener.try_clone().unwrap()).unwrap();
        let (stream, _) = timeout(TIMEOUT, listener.accept()).await.unwrap().unwrap();
        let (mut token, mut task, mut attempt) = (String::new(), String::new(), 0);
        let socket = tokio_tungstenite::accept_hdr_async(
            stream,
            |request: &tokio_tungstenite::tungstenite::handshake::server::Request, response| {
                let header = |name| request.headers()[name].to_str().unwrap().to_owned();
                (token, task) = (header("authorization"), header("x-ephemeral-task"));
                attempt = header("x-ephemeral-attempt").parse().unwrap();
                Ok(response)
            },
        );
        let socket = socket.await.unwrap();
        Service { socket, token, task, attempt, runs: 0 }
    }
}

fn spawn(runner: &RealRunner, listener: &std::net::TcpListener, token: &fs::File) -> Child {
    Command::new(env!("CARGO_BIN_EXE_runner-link"))
        .env_clear()
        .env("EPHEMERAL_LINK_URL", format!("ws://{}", listener.local_addr().unwrap()))
        .args(["--task", "the-task", "--socket"])
        .arg(runner.socket())
        .stdin(Stdio::from(token.try_clone().unwrap()))
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

impl Service {
    pub(crate) async fn receive(&mut self) -> FromRunner {
        loop {
            let message = timeout(TIMEOUT, self.socket.next()).await.unwrap().unwrap().unwrap();
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// Waits until the request with this id is carried out. Other frames are not answered meanwhile.
    pub(crate) async fn done(&mut self, id: &str) {
        while self.receive().await != (FromRunner::Done { id: id.to_owned() }) {}
    }

    pub(crate) async fn send(&mut self, frame: &ToRunner) {
        let text = serde_json::to_string(frame).unwrap();
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn run(&mut self, start: &Start) {
        self.runs += 1;
        for frame in split(start, &self.runs.to_string()).unwrap() {
            self.send(&frame).await;
        }
    }

    pub(crate) async fn follow(&mut self, id: &str) -> Job {
        self.follow_from(id, Job::default()).await
    }

    /// Stores the reports of a job until its end.
    pub(crate) async fn follow_from(&mut self, id: &str, mut job: Job) -> Job {
        assert_eq!(id, "j");
        self.until(&mut job, |job| job.exit.is_some()).await;
        job
    }

    pub(crate) async fn until(&mut self, job: &mut Job, is_met: impl Fn(&Job) -> bool) {
        while !is_met(job) {
            if let FromRunner::Report(report) = self.receive().await {
                let answer = job.store(&report);
                self.send(&answer).await;
            }
        }
    }
}

impl Job {
    pub(crate) fn store(&mut self, report: &Report) -> ToRunner {
        for piece in &report.output {
            let stored = match piece.stream {
                Stream::Stdout => &mut self.stdout,
                Stream::Stderr => &mut self.stderr,
            };
            assert_eq!(piece.from, piece.offset);
            let known = stored.len().checked_sub(usize::try_from(piece.offset).unwrap()).unwrap();
            stored.extend(piece.data.0.get(known..).unwrap_or_default());
        }
        self.exit = report.end.as_ref().map(|end| end.exit.clone());
        ToRunner::Stored {
            job: report.job.clone(),
            stdout: self.stdout.len() as u64,
            stderr: self.stderr.len() as u64,
            over: self.exit.is_some(),
        }
    }
}

/// A shell line as job. As root commands are those of nobody.
pub(crate) fn start(job: &str, line: &str, (stdout, stderr): (u64, u64)) -> Start {
    Start {
        job_id: job.to_owned(),
        argv: ["sh", "-c", line].map(str::to_owned).into(),
        cwd: Some("/".into()),
        prefer_bash: false,
        env: Vec::new(),
        user: if rustix::process::geteuid().is_root() { "nobody".into() } else { String::new() },
        stdin: Vec::new(),
        timeout_ms: 60_000,
        max_output_bytes: 1 << 20,
        keep: Keep::Head,
        merge: false,
        marks: false,
        background: false,
        shell: None,
        from: Offsets { stdout, stderr },
        terminal: None,
    }
}
