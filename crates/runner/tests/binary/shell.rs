//! Starts the runner binary with a socket in a temporary directory, and connects to it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::{Duration, Instant};

use runner::protocol::{
    Cause, Decoder, Event, Exit, Keep, Message, Offsets, Output, Request, Start, Stream,
};
use tempfile::TempDir;

use crate::cgroup::Cgroup;

/// Far above what any test takes, also on an emulated processor; a runner that does not answer fails the test.
const TIMEOUT: Duration = Duration::from_secs(150);

/// A running runner; it is shut down when dropped.
pub(crate) struct Shell {
    pub(crate) process: Child,
    pub(crate) directory: Rc<TempDir>,
    pub(crate) cgroup: Option<Cgroup>,
}

/// Whether the runner can switch users; otherwise commands run as the user of the test.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Shell {
    pub(crate) fn boot() -> Self {
        Self::boot_in(Rc::new(tempfile::tempdir().unwrap()))
    }

    /// Kills the runner and starts another one on the same directory.
    pub(crate) fn replaced(mut self) -> Self {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        Self::boot_in(Rc::clone(&self.directory))
    }

    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        // Fails if the process has ended and was waited for.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }

    /// Starts a runner whose jobs have cgroups. Returns `None` and prints the reason where this process
    /// can't create cgroups.
    pub(crate) fn boot_with_cgroup() -> Option<Self> {
        let directory = Rc::new(tempfile::tempdir().unwrap());
        let cgroup = Cgroup::create(&directory)?;
        let mut command = Self::command(&directory);
        for dir in &cgroup.dirs {
            command.arg("--cgroup").arg(dir);
        }
        let mut shell = Self::spawn(&mut command, directory);
        shell.cgroup = Some(cgroup);
        Some(shell)
    }

    /// A runner without cgroups, and one with them where this process can create them.
    pub(crate) fn boot_both() -> impl Iterator<Item = Self> {
        [Some(Self::boot()), Self::boot_with_cgroup()].into_iter().flatten()
    }

    /// Starts a runner whose job directory has 256 KiB. Returns `None` and prints the reason where no
    /// file system can be mounted.
    pub(crate) fn boot_on_a_small_disk() -> Option<Self> {
        let directory = Rc::new(tempfile::tempdir().unwrap());
        let jobs = directory.path().join("jobs");
        std::fs::create_dir(&jobs).unwrap();
        let runner = Self::command(&directory);
        let script = "mount -t tmpfs -o size=256k,mode=700 none $0 && exec \"$@\"";
        let mut command = in_mount_namespace(script)?;
        command.arg(jobs).arg(runner.get_program()).args(runner.get_args());
        Some(Self::spawn(&mut command, directory))
    }

    /// Starts a runner whose root is this directory, with libraries but without any program. Returns
    /// `None` and prints the reason where no file system can be mounted.
    pub(crate) fn boot_in_root(root: TempDir) -> Option<Self> {
        std::fs::copy(env!("CARGO_BIN_EXE_runner"), root.path().join("runner")).unwrap();
        let script = "for dir in lib lib64 usr/lib dev proc; do \
                        test ! -d /$dir || { mkdir -p $0/$dir && mount --bind /$dir $0/$dir; }; \
                      done && exec chroot $0 /runner --socket /sock --jobs /jobs";
        let mut command = in_mount_namespace(script)?;
        command.arg(root.path());
        Some(Self::spawn(&mut command, Rc::new(root)))
    }

    fn boot_in(directory: Rc<TempDir>) -> Self {
        Self::spawn(&mut Self::command(&directory), directory)
    }

    pub(crate) fn spawn(command: &mut Command, directory: Rc<TempDir>) -> Self {
        let process = command.spawn().unwrap();
        let shell = Self { process, directory, cgroup: None };
        let deadline = Instant::now() + TIMEOUT;
        while UnixStream::connect(shell.socket()).is_err() {
            assert!(Instant::now() < deadline, "the runner never listened");
            std::thread::yield_now();
        }
        shell
    }

    pub(crate) fn command(directory: &TempDir) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command.arg("--socket").arg(directory.path().join("sock"));
        command.arg("--jobs").arg(directory.path().join("jobs"));
        command.env("SECRET_OF_PID_1", "secret");
        if !is_root() {
            command.arg("--keep-user");
        }
        command
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    pub(crate) fn connect(&self) -> Caller {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Caller { stream, decoder: Decoder::default() }
    }

    /// Runs a job to its end on a new connection.
    pub(crate) fn run(&self, start: Start) -> Ran {
        let mut caller = self.connect();
        caller.send(&Request::Start(start));
        caller.finish()
    }

    /// Sends a request that has a single answer.
    pub(crate) fn ask(&self, request: Request) -> Event {
        let mut caller = self.connect();
        caller.send(&request);
        caller.next()
    }

    pub(crate) fn attach(&self, job_id: &str, stdout: u64, stderr: u64) -> Ran {
        let mut caller = self.connect();
        let from = Offsets { stdout, stderr };
        caller.send(&Request::Attach { job_id: job_id.into(), from });
        caller.finish()
    }
}

/// A command that runs the script in a new mount namespace; its arguments are `$0`, `$1`, and so on.
fn in_mount_namespace(script: &str) -> Option<Command> {
    if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success()) {
        println!("SKIPPED: no mount namespace can be created");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]);
    Some(command)
}

impl Drop for Shell {
    fn drop(&mut self) {
        // SIGTERM, because the runner then ends its jobs.
        self.terminate();
        let _ = self.process.wait();
        // Removes the cgroup only after the runner has ended.
        drop(self.cgroup.take());
    }
}

/// A connection to the runner.
pub(crate) struct Caller {
    stream: UnixStream,
    decoder: Decoder<Event>,
}

/// What a connection received of a job.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) started: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit: Exit,
}

impl Ran {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    pub(crate) fn code(&self) -> i32 {
        let Cause::Exited { code } = self.exit.cause else { panic!("{:?}", self.exit) };
        code
    }
}

impl Caller {
    pub(crate) fn send(&mut self, request: &Request) {
        self.send_raw(&request.encode().unwrap());
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn next(&mut self) -> Event {
        let mut piece = vec![0; 64 << 10];
        loop {
            if let Some(event) = self.decoder.next().unwrap() {
                return event;
            }
            let count = self.stream.read(&mut piece).expect("an event in time");
            assert!(count > 0, "the runner closed the connection");
            self.decoder.feed(&piece[..count]);
        }
    }

    /// Whether the runner has closed the connection, with nothing left to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.stream.read(&mut [0]).expect("the end in time") == 0
    }

    /// Receives everything until the job's exit and checks that its output has no gap.
    pub(crate) fn finish(&mut self) -> Ran {
        let (mut started, mut outputs) = (false, Vec::<Output>::new());
        let exit = loop {
            match self.next() {
                Event::Started => started = true,
                Event::Output(output) => outputs.push(output),
                Event::Exited(exit) => break exit,
                other
                @ (Event::Ready { .. } | Event::Unknown | Event::Ok | Event::Error { .. }) => {
                    panic!("unexpected {other:?}")
                }
            }
        };
        let [stdout, stderr] = [Stream::Stdout, Stream::Stderr].map(|s| joined(&outputs, s));
        Ran { started, stdout, stderr, exit }
    }

    /// Receives output until it contains the text; the job may still run.
    pub(crate) fn until(&mut self, text: &str) -> Vec<u8> {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let event = self.next();
            if let Event::Output(output) = event {
                seen.extend(output.bytes);
            } else {
                assert_eq!(event, Event::Started);
            }
        }
        seen
    }
}

fn joined(outputs: &[Output], stream: Stream) -> Vec<u8> {
    let mut joined = Vec::new();
    let mut next = None;
    for output in outputs.iter().filter(|output| output.stream == stream) {
        assert_eq!(output.offset, next.unwrap_or(output.offset), "a gap in {stream:?}");
        next = Some(output.offset + output.bytes.len() as u64);
        joined.extend_from_slice(&output.bytes);
    }
    joined
}

pub(crate) fn argv(job_id: &str, argv: &[&str]) -> Start {
    Start {
        job_id: job_id.into(),
        argv: argv.iter().map(|&arg| arg.into()).collect(),
        prefer_bash: false,
        cwd: Some("/".into()),
        env: vec![],
        user: "nobody".into(),
        stdin: vec![],
        timeout_ms: 60_000,
        max_output_bytes: 1 << 20,
        keep: Keep::Head,
        merge: false,
        marks: false,
        background: false,
        shell: None,
        from: Offsets::default(),
        terminal: None,
    }
}

pub(crate) fn sh(job_id: &str, command: &str) -> Start {
    argv(job_id, &["sh", "-c", command])
}
