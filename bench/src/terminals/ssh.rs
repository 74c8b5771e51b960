//! An ssh server of this host that only the bench can log in to.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// Where Debian's package `openssh-server` has the server.
const PROGRAM: &str = "/usr/sbin/sshd";
const UP_WITHIN: Duration = Duration::from_secs(10);

/// A running server, with keys of its own. Dropping it stops the server.
pub(super) struct Ssh {
    dir: TempDir,
    port: u16,
    server: Child,
}

impl Ssh {
    /// Starts a server on a port of the loopback interface.
    pub(super) fn start() -> Result<Self> {
        ensure!(Path::new(PROGRAM).exists(), "there is no {PROGRAM}; install openssh-server");
        let dir = tempfile::tempdir()?;
        for name in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(dir.path().join(name))
                .status();
            ensure!(made.context("running ssh-keygen")?.success(), "ssh-keygen failed");
        }
        // Nothing else takes the port in the moment between.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = dir.path().join("config");
        fs::write(&config, configuration(dir.path(), port))?;
        if rustix::process::geteuid().is_root() {
            // Made at boot where systemd runs.
            fs::create_dir_all("/run/sshd")?;
        }
        let server = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let ssh = Self { dir, port, server };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(begun.elapsed() < UP_WITHIN, "{PROGRAM} did not come up");
            thread::sleep(Duration::from_millis(10));
        }
        let logged_in = ssh.run("true").stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        ensure!(logged_in.success(), "nobody can log in to {PROGRAM}");
        Ok(ssh)
    }

    /// The command that runs this command line on a terminal of the server.
    pub(super) fn run(&self, line: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-tt", "-F", "none", "-p", &self.port.to_string(), "-i"]).arg(self.key());
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
        ] {
            command.args(["-o", option]);
        }
        command.args(["127.0.0.1", line]);
        command
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("user")
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        // It fails if the server has ended.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn configuration(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\n\
         PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\n\
         PrintLastLog no\n"
    )
}
