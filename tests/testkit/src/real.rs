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

/// Far above what its start takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Gives the process a `/tmp` and a list of users of its own; the working directory stays.
const OWN_FILES: &str = "mount --bind tmp /tmp && mount --bind passwd /etc/passwd && exec \"$@\"";

/// A runner with a directory of its own. Ended with its jobs when dropped.
#[derive(Debug)]
pub struct RealRunner {
    process: Child,
    dir: TempDir,
}

impl RealRunner {
    /// Its program; none, with the reason printed, where it was not built.
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

    /// With the host's files, and its users if this is root; commands run as ourselves if not.
    pub fn start() -> Option<Self> {
        Some(Self::spawn(Command::new(Self::binary()?), made_dir()))
    }

    /// With a `/tmp` of its own, and a `shelluser`. None, with the reason printed, where nothing can be mounted.
    pub fn start_apart() -> Option<Self> {
        let binary = Self::binary()?;
        if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success()) {
            return skip("no mount namespace to be had");
        }
        let dir = made_dir();
        let tmp = dir.path().join("tmp");
        fs::create_dir(&tmp).expect("a new directory is empty");
        let all = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(&tmp, all).expect("the directory is ours");
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let passwd = passwd + "shelluser:x:1000:1000::/:/bin/sh\n";
        fs::write(dir.path().join("passwd"), passwd).expect("the directory is ours");
        // The checkout may be below the /tmp that is about to be covered.
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
            assert!(began.elapsed() < PATIENCE, "the runner does not listen");
            std::thread::yield_now();
        }
        runner
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("runner.sock")
    }

    /// Its directory, which others may enter.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends it without a warning. Its jobs go on.
    pub fn kill(&mut self) {
        // Gone already is fine too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for RealRunner {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        if matches!(self.process.try_wait(), Ok(None)) {
            // It is there: it was not waited for.
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

#[expect(clippy::print_stdout, reason = "it is the test that speaks")]
fn skip<T>(why: &str) -> Option<T> {
    println!("SKIPPED: {why}");
    None
}
