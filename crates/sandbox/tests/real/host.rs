//! A driver in a temporary directory, its reports, and a client of its runners.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use runner::protocol::{Decoder, Event, Exit, Keep, Message, Offsets, Request, Start, Stream};
use sandbox::{
    Budget, Config, Driver, Egress, Image, Network, OpenError, Runtime, Status, TaskFacts, TaskId,
    TaskSpec, UidRange,
};
use tempfile::TempDir;

/// Far above what any test takes, also on an emulated processor; a sandbox that does not answer fails the test.
const TIMEOUT: Duration = Duration::from_secs(150);

pub(crate) struct Host {
    /// `None` only while the driver is being replaced.
    driver: Option<Driver>,
    facts: Receiver<TaskFacts>,
    pub(crate) dir: TempDir,
}

/// Stops all tasks, also after a failed test: dropping a driver leaves its sandboxes running.
impl Drop for Host {
    fn drop(&mut self) {
        let Some(driver) = &self.driver else { return };
        for facts in driver.list(None) {
            let _ = driver.stop(&facts.id, "the test is over");
        }
        let deadline = Instant::now() + TIMEOUT;
        while driver.list(None).iter().any(|facts| facts.last_status != Status::Stopped) {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.facts.recv_timeout(left).is_err() {
                break;
            }
        }
    }
}

pub(crate) fn config(root: &Path) -> Config {
    Config {
        root: root.to_owned(),
        exe: env!("CARGO_BIN_EXE_sandbox-runtime").into(),
        runtime: Runtime::BuiltIn,
        image: Image::Host,
        grace: Duration::from_millis(500),
        uid_range: UidRange::default(),
        allow_root: rustix::process::geteuid().is_root(),
        egress: Egress::Public,
        prepare: None,
        budget: Budget::of_host(root).unwrap(),
        end_with_driver: false,
    }
}

/// Whether this process, and so the driver, is root. Prints the reason for a skipped test if not.
pub(crate) fn is_root(what_needs_it: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("SKIPPED: without root, {what_needs_it}");
    }
    is_root
}

/// Opens a driver. Returns `None` and prints the reason where the host can't run sandboxes.
pub(crate) fn host() -> Option<Host> {
    host_with(|_| {})
}

pub(crate) fn host_with(adapt: impl FnOnce(&mut Config)) -> Option<Host> {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    adapt(&mut config);
    open(dir, config)
}

/// As `host_with`, in this directory.
pub(crate) fn host_in(root: PathBuf, adapt: impl FnOnce(&mut Config)) -> Option<Host> {
    let mut config = config(&root);
    adapt(&mut config);
    open(tempfile::tempdir().unwrap(), config)
}

fn open(dir: TempDir, config: Config) -> Option<Host> {
    let (send, facts) = mpsc::channel();
    match Driver::open(config, move |fact| drop(send.send(fact))) {
        Ok(driver) => Some(Host { driver: Some(driver), facts, dir }),
        Err(OpenError::Unsupported(reason)) => {
            println!("SKIPPED: {reason}");
            None
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// A task whose id no other test uses: `assert_nothing_left` looks for the id in the whole host, where
/// other tests run at the same time.
pub(crate) fn spec(token: &str) -> TaskSpec {
    TaskSpec {
        started_by: "sh_test".into(),
        token: format!("{token}-{}", std::process::id()),
        cpu_units: 1024,
        memory_mib: 256,
        pids: 128,
        disk_mib: 16,
        lifetime: None,
        network: Network::None,
    }
}

impl Host {
    pub(crate) fn driver(&self) -> &Driver {
        self.driver.as_ref().unwrap()
    }

    /// Closes the driver, calls `between`, and opens another driver on the same directory.
    pub(crate) fn reopen(&mut self, between: impl FnOnce(&Path)) {
        self.driver = None;
        between(self.dir.path());
        let (send, facts) = mpsc::channel();
        let config = config(self.dir.path());
        self.driver = Some(Driver::open(config, move |fact| drop(send.send(fact))).unwrap());
        self.facts = facts;
    }

    /// Starts a task and waits until it runs.
    pub(crate) fn start(&self, spec: TaskSpec) -> TaskId {
        let id = self.driver().run(spec).unwrap();
        let facts = self.wait(&id, Status::Running);
        assert_eq!(facts.stopped_reason, "");
        id
    }

    /// Waits until the task is in this state; fails if the task stops instead.
    pub(crate) fn wait(&self, id: &TaskId, status: Status) -> TaskFacts {
        let facts = self
            .until(id, |facts| facts.last_status == status || facts.last_status == Status::Stopped);
        assert_eq!(facts.last_status, status, "{facts:?}");
        facts
    }

    pub(crate) fn until_stopped(&self, id: &TaskId) -> TaskFacts {
        self.until(id, |facts| facts.last_status == Status::Stopped)
    }

    /// Waits until the condition holds for the task.
    pub(crate) fn until(&self, id: &TaskId, wanted: impl Fn(&TaskFacts) -> bool) -> TaskFacts {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let known = self.driver().describe(std::slice::from_ref(id)).pop().unwrap();
            if wanted(&known) {
                return known;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let facts = self.facts.recv_timeout(left).expect("a report in time");
            if facts.id == *id && wanted(&facts) {
                return facts;
            }
        }
    }

    pub(crate) fn stop(&self, id: &TaskId) -> TaskFacts {
        self.driver().stop(id, "the test is over").unwrap();
        let facts = self.wait(id, Status::Stopped);
        self.assert_nothing_left(id);
        facts
    }

    pub(crate) fn client(&self, id: &TaskId) -> Client {
        Client::connect(&self.driver().socket(id))
    }

    /// Runs a shell line as shelluser.
    pub(crate) fn sh(&self, id: &TaskId, line: &str) -> Done {
        self.client(id).run(line)
    }

    /// Runs a shell line as this user.
    pub(crate) fn sh_as(&self, id: &TaskId, user: &str, line: &str) -> Done {
        let mut client = self.client(id);
        client.start_as(user, line);
        client.until_end()
    }

    pub(crate) fn assert_nothing_left(&self, id: &TaskId) {
        assert!(!self.dir.path().join(id.as_str()).exists(), "a directory is left");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(id.as_str()), "a mount is left");
        assert_eq!(cgroups_of(id), Vec::<PathBuf>::new(), "control groups are left");
        assert_eq!(processes_of(id), Vec::<String>::new(), "processes are left");
    }
}

/// The directories of a task in all hierarchies.
pub(crate) fn cgroups_of(id: &TaskId) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let below = |dir: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let first = below(top);
    let second: Vec<PathBuf> = first.iter().flat_map(|dir| below(dir)).collect();
    let candidates = first.iter().chain(&second).map(|dir| dir.join(id.as_str()));
    candidates.filter(|dir| dir.exists()).collect()
}

/// The command lines and states of processes that are in a control group of the task.
pub(crate) fn processes_of(id: &TaskId) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes
        .filter(|dir| {
            let cgroup = fs::read_to_string(dir.join("cgroup")).unwrap_or_default();
            cgroup.contains(id.as_str())
        })
        // A zombie has no command line.
        .map(|dir| {
            ["cmdline", "stat"].map(|file| fs::read_to_string(dir.join(file)).unwrap_or_default())
        })
        .map(|texts| texts.join(" "))
        .collect()
}

/// The processes in the control groups of the task.
pub(crate) fn pids_of(id: &TaskId) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        cgroup.contains(id.as_str())
    })
    .collect()
}

/// Changes a record to one that a crash could have left.
pub(crate) fn edit_record(root: &Path, id: &TaskId, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = root.join(format!("records/{id}.json"));
    let mut record = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut record);
    fs::write(path, record.to_string()).unwrap();
}

/// The pid, on the host, of a task's PID 1.
pub(crate) fn init_of(host: &Host, id: &TaskId) -> rustix::process::Pid {
    let record = host.dir.path().join(format!("records/{id}.json"));
    let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    let pid = record["init"]["pid"].as_i64().unwrap();
    rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

/// A connection to a runner.
pub(crate) struct Client {
    stream: UnixStream,
    decoder: Decoder<Event>,
    pub(crate) timeout_ms: u64,
}

/// A job that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) exit: Exit,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Client {
    fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { stream, decoder: Decoder::default(), timeout_ms: 60_000 }
    }

    pub(crate) fn send(&mut self, request: Request) {
        let bytes = request.encode().unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next event; `None` when the runner closes the connection.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.decoder.next().unwrap() {
                return Some(event);
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.decoder.feed(&buffer[..length]),
            }
        }
    }

    pub(crate) fn probe(&mut self) -> Event {
        self.send(Request::Probe);
        self.next().expect("an answer")
    }

    pub(crate) fn start(&mut self, line: &str) {
        self.start_as("shelluser", line);
    }

    pub(crate) fn start_as(&mut self, user: &str, line: &str) {
        self.start_with(line, |start| start.user = user.into());
    }

    pub(crate) fn start_in(&mut self, user: &str, line: &str, cwd: Option<&str>) {
        self.start_with(line, |start| {
            start.user = user.into();
            start.cwd = cwd.map(str::to_owned);
        });
    }

    fn start_with(&mut self, line: &str, adapt: impl FnOnce(&mut Start)) {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut start = Start {
            job_id: format!("job_{}", nanos.as_nanos()),
            argv: ["sh", "-c", line].map(str::to_owned).to_vec(),
            prefer_bash: false,
            cwd: None,
            env: Vec::new(),
            user: "shelluser".into(),
            stdin: Vec::new(),
            timeout_ms: self.timeout_ms,
            max_output_bytes: 1 << 20,
            keep: Keep::Head,
            merge: false,
            marks: false,
            background: false,
            shell: None,
            from: Offsets::default(),
            terminal: None,
        };
        adapt(&mut start);
        self.send(Request::Start(start));
    }

    /// The standard output until its first line is complete.
    pub(crate) fn until_line(&mut self) -> String {
        let mut text = String::new();
        while !text.ends_with("\n\n") {
            let event = self.next().expect("the job's output");
            if let Event::Output(output) = event {
                text.push_str(&String::from_utf8_lossy(&output.bytes));
            } else {
                assert_eq!(event, Event::Started, "after {text:?}");
            }
        }
        text
    }

    pub(crate) fn run(&mut self, line: &str) -> Done {
        self.start(line);
        self.until_end()
    }

    pub(crate) fn run_with(&mut self, line: &str, adapt: impl FnOnce(&mut Start)) -> Done {
        self.start_with(line, adapt);
        self.until_end()
    }

    pub(crate) fn until_end(&mut self) -> Done {
        let mut stdout = Vec::new();
        let mut stderr = Vec::new();
        loop {
            match self.next().expect("the job's end") {
                Event::Output(output) if output.stream == Stream::Stdout => {
                    stdout.extend(output.bytes)
                }
                Event::Output(output) => stderr.extend(output.bytes),
                Event::Exited(exit) => {
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    return Done { exit, stdout: text(&stdout), stderr: text(&stderr) };
                }
                Event::Started => {}
                other
                @ (Event::Ready { .. } | Event::Unknown | Event::Ok | Event::Error { .. }) => {
                    panic!("{other:?}")
                }
            }
        }
    }
}
