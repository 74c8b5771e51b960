//! The program that opens a runner's connection to its service. On AWS the runner starts it in the task; the
//! sandboxes here have no network, so that it runs beside them. It gives up its capabilities, without which no
//! other user than the sandbox's root may open the runner's socket: this process connects to it on its behalf.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::{
    fs::MemfdFlags,
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;
use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    process::{Child, Command},
    task::AbortHandle,
    time::timeout,
};

/// How long a program may send its last reports.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The programs of all tasks that were given a token.
#[derive(Debug)]
pub(crate) struct Links {
    program: PathBuf,
    /// For the sockets to which the programs connect.
    directory: PathBuf,
    /// Stands for the URL that the task was given.
    url: Option<String>,
    running: Mutex<HashMap<String, Running>>,
}

/// The program of a task, and the socket that leads it to the runner.
#[derive(Debug)]
struct Running {
    child: Child,
    relay: Relay,
}

/// Accepts connections on a socket of this process's user. Dropping it closes and removes the socket.
#[derive(Debug)]
struct Relay {
    path: PathBuf,
    accepting: AbortHandle,
}

impl Links {
    pub(crate) fn new(exe: &Path, directory: &Path, url: Option<String>) -> Self {
        let program = exe.with_file_name("runner-link");
        Self { program, directory: directory.to_owned(), url, running: Mutex::default() }
    }

    /// Starts the program of a task, if the task's overrides name a service.
    pub(crate) fn start(&self, id: &str, arn: &str, overrides: &Value, socket: &Path) {
        let variable = |name: &str| {
            let variables = overrides["containerOverrides"][0]["environment"].as_array()?;
            let found = variables.iter().find(|one| one["name"] == name)?;
            found["value"].as_str().map(str::to_owned)
        };
        let (Some(url), Some(token)) =
            (variable("EPHEMERAL_LINK_URL"), variable("EPHEMERAL_LINK_TOKEN"))
        else {
            return;
        };
        let url = self.url.clone().unwrap_or(url);
        let relay = Relay::open(self.directory.join(format!("{id}.link")), socket.to_owned());
        let running = relay.and_then(|relay| {
            Ok(Running { child: self.spawn(&url, &token, arn, &relay.path)?, relay })
        });
        match running {
            Ok(running) => drop(self.running.lock().insert(id.to_owned(), running)),
            Err(error) => tracing::warn!(%error, "the program of a task can't be started"),
        }
    }

    fn spawn(&self, url: &str, token: &str, arn: &str, socket: &Path) -> io::Result<Child> {
        let mut file = std::fs::File::from(rustix::fs::memfd_create("token", MemfdFlags::CLOEXEC)?);
        file.write_all(token.as_bytes())?;
        Command::new(&self.program)
            .env_clear()
            .env("EPHEMERAL_LINK_URL", url)
            .args(["--task", arn, "--socket"])
            .arg(socket)
            .stdin(Stdio::from(OwnedFd::from(file)))
            .kill_on_drop(true)
            .spawn()
    }

    /// Ends the program of a task after its last reports.
    pub(crate) fn end(&self, id: &str) {
        let Some(Running { mut child, relay }) = self.running.lock().remove(id) else { return };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Fails if it has ended.
            let _ = kill_process(pid, Signal::TERM);
        }
        // Dropping it afterwards kills it.
        tokio::spawn(async move {
            drop(timeout(END_TIMEOUT, child.wait()).await);
            drop(relay);
        });
    }
}

impl Relay {
    fn open(path: PathBuf, runner: PathBuf) -> io::Result<Self> {
        let listener = UnixListener::bind(&path)?;
        let accepting = tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let runner = runner.clone();
                tokio::spawn(async move {
                    let mut runner = UnixStream::connect(runner).await?;
                    copy_bidirectional(&mut connection, &mut runner).await
                });
            }
        });
        Ok(Self { path, accepting: accepting.abort_handle() })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        // A socket that is left behind is removed with the directory.
        let _ = std::fs::remove_file(&self.path);
    }
}
