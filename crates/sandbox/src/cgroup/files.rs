//! Operations on the directories and files of cgroups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::CONTROLLERS;
use crate::host::SERVER_GROUP;

/// How often processes are moved out of a group, in which others may fork meanwhile.
const MOVES: u32 = 10;

/// The group and the groups below it, children before their parents. Without those that are removed
/// meanwhile, as a runner does with the groups of ended jobs.
pub(super) fn tree(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut dirs = Vec::new();
    match add_children(dir, &mut dirs) {
        Err(error) if is_removed(&error) => {}
        added => {
            added?;
            dirs.push(dir.to_owned());
        }
    }
    Ok(dirs)
}

fn add_children(dir: &Path, dirs: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            dirs.extend(tree(&entry.path())?);
        }
    }
    Ok(())
}

/// Whether the error says that a directory of cgroups does not exist, or not any more.
fn is_removed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// The count in the line `oom_kill N` of this file.
pub(super) fn oom_kills(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Enables the controllers for the children of `dir` on cgroup v2. A group with processes can't enable
/// controllers, so all of its processes are moved into a child group if needed: this one and others that
/// the group was delegated to, such as the shell that started the server.
pub(super) fn enable_controllers(dir: &Path) -> io::Result<()> {
    let control = dir.join("cgroup.subtree_control");
    // Only its weight is used, and it may not be delegated.
    let _ = fs::write(&control, "+io");
    let mut enabled = fs::write(&control, CONTROLLERS);
    for _ in 0..MOVES {
        if !matches!(&enabled, Err(error) if error.kind() == io::ErrorKind::ResourceBusy) {
            break;
        }
        let server = dir.join(SERVER_GROUP);
        create(&server)?;
        fs::write(server.join("cgroup.procs"), "0")?;
        for pid in fs::read_to_string(dir.join("cgroup.procs"))?.lines() {
            // Fails if the process has ended.
            let _ = fs::write(server.join("cgroup.procs"), pid);
        }
        enabled = fs::write(&control, CONTROLLERS);
    }
    enabled
}

pub(super) fn create(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// Makes the user the owner. A file that a kernel's version does not have is skipped.
pub(super) fn give(file: &Path, owner: u32) -> io::Result<()> {
    match std::os::unix::fs::chown(file, Some(owner), Some(owner)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display()))),
    }
}

pub(super) fn set(file: &Path, value: impl ToString) -> io::Result<()> {
    let written = fs::OpenOptions::new().write(true).open(file);
    let written =
        written.and_then(|mut file| io::Write::write_all(&mut file, value.to_string().as_bytes()));
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

pub(super) fn set_if_there(file: &Path, value: impl ToString) -> io::Result<()> {
    if file.exists() { set(file, value) } else { Ok(()) }
}
