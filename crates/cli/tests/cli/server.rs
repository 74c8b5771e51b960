//! A real server with a real shell, where this host supports them.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::{real::is_unsupported, scripted_server::ephemeral};

/// A server with a shell, which ends with it.
pub(crate) struct Server {
    process: Child,
    dir: TempDir,
    /// The id of the shell.
    pub(crate) shell: String,
}

impl Server {
    /// None if this host supports no real shells.
    pub(crate) fn up() -> Option<Self> {
        if is_unsupported() {
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let mut up = ephemeral(&["up", "--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"]);
        let mut process =
            up.arg(dir.path()).stdout(Stdio::piped()).spawn().expect("the server starts");
        let stdout = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        lines.next().expect("it says where it listens").expect("UTF-8");
        let mut server = Self { process, dir, shell: String::new() };
        let started = server.run(&["start"], Path::new("/"));
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        server.shell = String::from_utf8(started.stdout).expect("UTF-8").trim().to_owned();
        Some(server)
    }

    /// What the shell's command prints.
    pub(crate) fn exec(&self, line: &str) -> String {
        let ran = self.run(&["exec", &self.shell, line], Path::new("/"));
        String::from_utf8(ran.stdout).expect("UTF-8")
    }

    /// The content of a file of the data directory.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).expect("a file")
    }

    pub(crate) fn command(&self, args: &[&str], dir: &Path) -> Command {
        let mut command = ephemeral(args);
        command.env("EPHEMERAL_DATA_DIR", self.dir.path()).current_dir(dir);
        command
    }

    pub(crate) fn run(&self, args: &[&str], dir: &Path) -> Output {
        self.command(args, dir).output().expect("it runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _stopped = self.run(&["stop", &self.shell], Path::new("/"));
        let kill = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ended = kill.and_then(|_| self.process.wait());
    }
}
