//! The real runner as a process of this host, outside of any sandbox.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Time limit for the start, which usually takes milliseconds.
const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// Gives the process a `/tmp` and a list of users of its own; the working directory stays.
const OWN_FILES: &str = "mount --bind tmp /tmp && mount --bind passwd /etc/passwd && exec \"$@\"";

/// A runner with a directory of its own. Dropping it ends the runner and its jobs.
#[derive(Debug)]
pub struct RealRunner {
    process: Child,
    dir: TempDir,
}

impl RealRunner {
    /// The runner's program; `None`, with the reason printed, if the program was not built.
    pub fn binary() -> Option<PathBuf> {
        // Test binaries are in target/PROFILE/deps.
        let exe = std::env::current_exe().expect("a test has a path");
        let binary =
            exe.ancestors().nth(2).expect("a test is in a target directory").join("runner");
        if binary.exists() {
            return Some(binary);
        }
        skip(&format!("{} is not built", binary.display()))
    }

    /// Starts a runner on the host's files. As root, commands run as the host's users; otherwise as the
    /// current user.
    pub fn start() -> Option<Self> {
        Some(Self::spawn(Command::new(Self::binary()?), made_dir()))
    }

    /// Starts a runner with its own `/tmp` and a user `shelluser`. `None`, with the reason printed, if
    /// mount namespaces are not available.
    pub fn start_apart() -> Option<Self> {
        let binary = Self::binary()?;
        if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success()) {
            return skip("mount namespaces are not available");
        }
        let dir = made_dir();
        let tmp = dir.path().join("tmp");
        fs::create_dir(&tmp).expect("a new directory is empty");
        let all = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(&tmp, all).expect("the directory is ours");
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let passwd = passwd + "shelluser:x:1000:1000::/:/bin/sh\n";
        fs::write(dir.path().join("passwd"), passwd).expect("the directory is ours");
        // The checkout may be below `/tmp`, which the mount hides.
        fs::copy(binary, dir.path().join("runner")).expect("the directory is ours");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", OWN_FILES, "sh", "./runner"]);
        Some(Self::spawn(command, dir))
    }

    fn spawn(mut command: Command, dir: TempDir) -> Self {
        command.current_dir(&dir).args(["--socket", "runner.sock", "--jobs", "jobs"]);
        if fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0) {
            command.arg("--keep-user");
        }
        let process = command.stdin(Stdio::null()).spawn().expect("the runner can be started");
        let runner = Self { process, dir };
        let began = Instant::now();
        while UnixStream::connect(runner.socket()).is_err() {
            assert!(began.elapsed() < STARTS_WITHIN, "the runner does not listen");
            std::thread::yield_now();
        }
        runner
    }

    /// The path of the runner's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("runner.sock")
    }

    /// The runner's directory, which other users may enter.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills the runner with SIGKILL. Its jobs keep running.
    pub fn kill(&mut self) {
        // The runner may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for RealRunner {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        if matches!(self.process.try_wait(), Ok(None)) {
            // The process was not waited for, so its id is still its own.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

fn made_dir() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let enter = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&dir, enter).expect("the directory is ours");
    dir
}

#[expect(clippy::print_stdout, reason = "the test runner collects this line")]
fn skip<T>(why: &str) -> Option<T> {
    println!("SKIPPED: {why}");
    None
}
