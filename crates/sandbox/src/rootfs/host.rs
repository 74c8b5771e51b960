//! The image `host`: the programs of this host, and a generated root with the parts of `/etc` that they
//! need. It follows the host: a sandbox gets what the host has when the sandbox starts.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::{SHELL_UID, directory, file, link};
use sources::Sources;

mod conffiles;
mod etc;
mod hidden;
mod sources;

/// Directories with programs. They are shown read-only, or are links into `/usr` on a merged-usr host.
const PROGRAMS: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Empty directories.
const EMPTY: [&str; 8] =
    ["proc", "dev", "sys/fs/cgroup", "run/ephemeral", "home", "etc", "opt", "var/lib"];
/// Directories that every user may write to; each sandbox has its own copy.
const WRITABLE: [&str; 5] = ["tmp", "run", "run/lock", "var/log", "var/tmp"];
/// The link in a sandbox's directory to the snapshot that it uses.
const REFERENCE: &str = "host-image";

/// Makes snapshots of this host. A snapshot does not change, because sandboxes use it; one that no
/// sandbox uses is removed when a newer one exists.
#[derive(Debug)]
pub(crate) struct HostImage {
    /// The driver's directory, with the directories of sandboxes.
    driver: PathBuf,
    current: Mutex<Option<Arc<Snapshot>>>,
}

/// The root of the image `host` as it was at one time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) root: PathBuf,
    /// Each directory with programs, and the layer to put above it, which hides parts of it.
    pub(crate) programs: Vec<(PathBuf, PathBuf)>,
    dir: PathBuf,
    sources: Sources,
}

impl HostImage {
    /// Makes the first snapshot.
    pub(super) fn open(driver: &Path) -> io::Result<Self> {
        let image = Self { driver: driver.to_owned(), current: Mutex::new(None) };
        image.refresh(&mut image.current.lock())?;
        Ok(image)
    }

    /// The snapshot for the sandbox in this directory. It exists until the directory is removed.
    pub(crate) fn snapshot(&self, sandbox: &Path) -> io::Result<Arc<Snapshot>> {
        let mut current = self.current.lock();
        let snapshot = match &*current {
            Some(snapshot) if snapshot.sources.are_unchanged() => Arc::clone(snapshot),
            _ => self.refresh(&mut current)?,
        };
        let reference = sandbox.join(REFERENCE);
        let _ = fs::remove_file(&reference);
        symlink(&snapshot.dir, reference)?;
        Ok(snapshot)
    }

    /// Whether the sandbox in this directory shows the host as it is now.
    pub(crate) fn is_current(&self, sandbox: &Path) -> bool {
        let current = self.current.lock();
        let Some(snapshot) = current.as_ref() else { return false };
        let used = fs::read_link(sandbox.join(REFERENCE));
        used.is_ok_and(|used| used == snapshot.dir) && snapshot.sources.are_unchanged()
    }

    fn refresh(&self, current: &mut Option<Arc<Snapshot>>) -> io::Result<Arc<Snapshot>> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{}-{}", since.as_nanos(), std::process::id());
        let snapshots = self.driver.join("hosts");
        let dir = snapshots.join(name);
        directory(&snapshots, 0o755)?;
        let snapshot = Arc::new(Snapshot::take(Path::new("/"), &dir)?);
        *current = Some(Arc::clone(&snapshot));
        remove_unused(&self.driver, &snapshots, &dir)?;
        Ok(snapshot)
    }
}

/// Removes the snapshots that neither are `current` nor belong to a sandbox.
fn remove_unused(driver: &Path, snapshots: &Path, current: &Path) -> io::Result<()> {
    let used: Vec<PathBuf> = fs::read_dir(driver)?
        .filter_map(|entry| fs::read_link(entry.ok()?.path().join(REFERENCE)).ok())
        .collect();
    for entry in fs::read_dir(snapshots)? {
        let dir = entry?.path();
        if dir != current && !used.contains(&dir) {
            fs::remove_dir_all(dir)?;
        }
    }
    Ok(())
}

impl Snapshot {
    /// Makes a snapshot in `dir` of the host whose root is `host`.
    fn take(host: &Path, dir: &Path) -> io::Result<Self> {
        let root = dir.join("root");
        directory(&root, 0o755)?;
        for name in EMPTY {
            directory(&root.join(name), 0o755)?;
        }
        for name in WRITABLE {
            directory(&root.join(name), 0o1777)?;
        }
        directory(&root.join("root"), 0o700)?;
        link(&root.join("var/run"), Path::new("/run"))?;
        link(&root.join("var/lock"), Path::new("/run/lock"))?;
        let mut sources = Sources::default();
        etc::copy(host, &root.join("etc"), &mut sources)?;
        write_etc(&root.join("etc"))?;
        let programs = programs(host, &root, &dir.join("hidden"), &mut sources)?;
        Ok(Self { root, programs, dir: dir.to_owned(), sources })
    }
}

fn programs(
    host: &Path,
    root: &Path,
    layers: &Path,
    sources: &mut Sources,
) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut programs = Vec::new();
    for name in PROGRAMS {
        let dir = host.join(name);
        match fs::symlink_metadata(&dir) {
            Ok(found) if found.is_symlink() => link(&root.join(name), &fs::read_link(&dir)?)?,
            Ok(found) if found.is_dir() => {
                directory(&root.join(name), 0o755)?;
                let layer = layers.join(name);
                hidden::make_layer(&dir, &layer, sources)?;
                programs.push((dir, layer));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(programs)
}

/// Writes the files that differ from the host's.
fn write_etc(etc: &Path) -> io::Result<()> {
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/sh\n\
         shelluser:x:{SHELL_UID}:{SHELL_UID}::/home/shelluser:{shell}\n\
         nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
    );
    let group = format!("root:x:0:\ntty:x:5:\nshelluser:x:{SHELL_UID}:\nnogroup:x:65534:\n");
    let files = [
        ("passwd", passwd.as_str()),
        ("group", group.as_str()),
        ("hostname", "shell\n"),
        ("hosts", "127.0.0.1 localhost shell\n::1 localhost\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        ("profile", "export PATH\nPS1='\\u@\\h:\\w\\$ '\n"),
        // Replaced by a bind mount if the sandbox has a network.
        ("resolv.conf", ""),
        // Each sandbox gets a number of its own.
        ("machine-id", ""),
    ];
    for (name, content) in files {
        file(&etc.join(name), content.as_bytes(), 0o644)?;
    }
    link(&etc.join("mtab"), Path::new("/proc/self/mounts"))?;
    link(&etc.join("os-release"), Path::new("/usr/lib/os-release"))
}

/// Whether every user may read the file or enter the directory.
fn is_public(found: &fs::Metadata) -> bool {
    let needed = if found.is_dir() { 0o005 } else { 0o004 };
    found.permissions().mode() & needed == needed
}

#[cfg(test)]
mod tests;
