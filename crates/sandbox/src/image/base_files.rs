//! Adds to an image what every root must have: the user, its home directory, and mount points.

use std::io;
use std::path::{Path, PathBuf};

use super::tree::Tree;
use crate::rootfs::SHELL_UID;

const USER: &str = "shelluser";
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run/ephemeral", "sys", "tmp"];

/// The user that commands run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShellUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
}

/// Adds what the image lacks; existing files are not changed.
pub(super) fn add(tree: &Tree) -> io::Result<()> {
    for dir in MOUNT_POINTS {
        tree.ensure(Path::new(dir))?;
    }
    let hosts: &[u8] = b"127.0.0.1 localhost shell\n::1 localhost\n";
    for (name, content) in [("etc/hosts", hosts), ("etc/resolv.conf", b"")] {
        let file = tree.entry(Path::new(name))?;
        if file.read()?.is_empty() {
            file.make_file(&mut &*content, 0o644)?;
        }
    }
    if find_shell_user(tree)?.is_none() {
        add_shell_user(tree)?;
    }
    let user = find_shell_user(tree)?.ok_or(io::ErrorKind::InvalidData)?;
    tree.ensure(&user.home)
}

/// Finds the user in the image's `etc/passwd`; see passwd(5).
pub(crate) fn find_shell_user(tree: &Tree) -> io::Result<Option<ShellUser>> {
    let passwd = tree.entry(Path::new("etc/passwd"))?.read()?;
    let passwd = String::from_utf8_lossy(&passwd);
    Ok(passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [USER, _, uid, gid, _, home, _] = fields.as_slice() else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        let below_root = home.starts_with('/') && home.len() > 1 && !home.contains("..");
        let home = if below_root { home } else { "/home/shelluser" };
        Some(ShellUser { uid, gid, home: PathBuf::from(home) })
    }))
}

fn add_shell_user(tree: &Tree) -> io::Result<()> {
    let passwd = tree.entry(Path::new("etc/passwd"))?;
    let group = tree.entry(Path::new("etc/group"))?;
    let users = or_else(passwd.read()?, "root:x:0:0:root:/root:/bin/sh\n");
    let groups = or_else(group.read()?, "root:x:0:\n");
    let is_taken = |id: &u32| number_is_in(&users, *id) || number_is_in(&groups, *id);
    let id = (SHELL_UID..60_000).find(|id| !is_taken(id)).ok_or(io::ErrorKind::InvalidData)?;
    // No password, and not "x", which would refer to a line of etc/shadow: su(1) fails without that line.
    let users = format!("{users}{USER}:*:{id}:{id}::/home/{USER}:/bin/sh\n");
    let groups = format!("{groups}{USER}:x:{id}:\n");
    passwd.make_file(&mut users.as_bytes(), 0o644)?;
    group.make_file(&mut groups.as_bytes(), 0o644)?;
    Ok(())
}

/// The content, or `default` if it is empty, with a newline at its end.
fn or_else(content: Vec<u8>, default: &str) -> String {
    let mut text = String::from_utf8_lossy(&content).into_owned();
    if text.is_empty() {
        text.push_str(default);
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Whether a line of passwd(5) or group(5) has this id.
fn number_is_in(table: &str, id: u32) -> bool {
    let id = id.to_string();
    table.lines().any(|line| line.split(':').nth(2) == Some(id.as_str()))
}
