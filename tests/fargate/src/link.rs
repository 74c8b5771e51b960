//! The program that opens a runner's connection to its service. On AWS the runner starts it in the task; the
//! sandboxes here have no network, so that it runs beside them.

use std::{
    collections::HashMap,
    io::Write as _,
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
    process::{Child, Command},
    time::timeout,
};

/// How long a program may send its last reports.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The programs of all tasks that were given a token.
#[derive(Debug)]
pub(crate) struct Links {
    program: PathBuf,
    /// Stands for the URL that the task was given.
    url: Option<String>,
    children: Mutex<HashMap<String, Child>>,
}

impl Links {
    pub(crate) fn new(exe: &Path, url: Option<String>) -> Self {
        Self { program: exe.with_file_name("runner-link"), url, children: Mutex::default() }
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
        match self.spawn(&url, &token, arn, socket) {
            Ok(child) => drop(self.children.lock().insert(id.to_owned(), child)),
            Err(error) => tracing::warn!(%error, "the program of a task can't be started"),
        }
    }

    fn spawn(&self, url: &str, token: &str, arn: &str, socket: &Path) -> std::io::Result<Child> {
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
        let Some(mut child) = self.children.lock().remove(id) else { return };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Fails if it has ended.
            let _ = kill_process(pid, Signal::TERM);
        }
        // Dropping it afterwards kills it.
        tokio::spawn(async move { drop(timeout(END_TIMEOUT, child.wait()).await) });
    }
}
