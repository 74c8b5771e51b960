//! The peer runc, with the same root directories and the same limits.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A bundle that runs `true`, and one that sleeps.
#[derive(Debug)]
pub(crate) struct Runc {
    dir: TempDir,
}

impl Runc {
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        bundle(&dir.path().join("true"), &["true"])?;
        bundle(&dir.path().join("sleep"), &["sleep", "600"])?;
        Ok(Self { dir })
    }

    /// One `runc run` of `true`: create, run, remove.
    pub(crate) fn run(&self) -> Result<Duration> {
        let begun = Instant::now();
        self.call(&["run", "--bundle", &self.path("true"), "bench-true"])?;
        Ok(begun.elapsed())
    }

    /// Runs an action while a container runs.
    pub(crate) fn with_container(&self, action: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.call(&["run", "--detach", "--bundle", &self.path("sleep"), "bench-sleep"])?;
        let done = action(self);
        self.call(&["delete", "--force", "bench-sleep"])?;
        done
    }

    /// One `runc exec` of `true` in that container.
    pub(crate) fn exec(&self) -> Result<Duration> {
        let begun = Instant::now();
        self.call(&["exec", "bench-sleep", "true"])?;
        Ok(begun.elapsed())
    }

    fn path(&self, bundle: &str) -> String {
        self.dir.path().join(bundle).display().to_string()
    }

    fn call(&self, args: &[&str]) -> Result<()> {
        let ran = Command::new("runc")
            .arg("--root")
            .arg(self.dir.path().join("state"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("running runc")?;
        ensure!(ran.success(), "runc {args:?} failed");
        Ok(())
    }
}

/// The default configuration of runc with the host's programs, our limits and our user.
fn bundle(dir: &Path, argv: &[&str]) -> Result<()> {
    let root = dir.join("root");
    for name in ["dev", "proc", "sys", "tmp", "usr"] {
        fs::create_dir_all(root.join(name))?;
    }
    let spec = Command::new("runc").args(["spec", "--bundle"]).arg(dir).status();
    ensure!(spec.context("running runc")?.success(), "runc spec failed");
    let file = dir.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file)?)?;
    config["root"] = json!({"path": root, "readonly": true});
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = json!(argv);
    config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    config["process"]["capabilities"] = json!({});
    // Some hosts don't permit raising this limit.
    config["process"]["rlimits"] = json!([]);
    config["linux"]["resources"] = json!({
        "memory": {"limit": 512 << 20},
        "cpu": {"quota": 25_000, "period": 100_000},
        "pids": {"limit": 512},
    });
    let mounts = config["mounts"].as_array_mut().context("no mounts in the configuration")?;
    mounts.push(bind(Path::new("/usr")));
    mounts.push(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    for name in ["bin", "lib", "lib64", "sbin"] {
        host_directory(&root, name, mounts)?;
    }
    fs::write(file, config.to_string())?;
    Ok(())
}

/// `/bin` and its like are links into `/usr` on most hosts, directories on some.
fn host_directory(root: &Path, name: &str, mounts: &mut Vec<Value>) -> Result<()> {
    let on_host = PathBuf::from("/").join(name);
    if let Ok(target) = fs::read_link(&on_host) {
        std::os::unix::fs::symlink(target, root.join(name))?;
    } else if on_host.is_dir() {
        fs::create_dir(root.join(name))?;
        mounts.push(bind(&on_host));
    }
    Ok(())
}

fn bind(dir: &Path) -> Value {
    json!({"destination": dir, "type": "bind", "source": dir, "options": ["bind", "ro", "nosuid"]})
}
