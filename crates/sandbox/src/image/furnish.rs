//! What every root must have, whatever the image brings: a user, its home, places to mount on.

use std::io;
use std::path::{Path, PathBuf};

use super::tree::Tree;
use crate::rootfs::SHELL_UID;

const USER: &str = "shelluser";
const MOUNTED_ON: [&str; 5] = ["dev", "proc", "run/ephemeral", "sys", "tmp"];

/// Who the commands run as, and where that is at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resident {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
}

/// Adds what is missing. What is there stays.
pub(super) fn furnish(tree: &Tree) -> io::Result<()> {
    for dir in MOUNTED_ON {
        tree.ensure(Path::new(dir))?;
    }
    let hosts: &[u8] = b"127.0.0.1 localhost shell\n::1 localhost\n";
    for (name, content) in [("etc/hosts", hosts), ("etc/resolv.conf", b"")] {
        let place = tree.place(Path::new(name))?;
        if place.read()?.is_empty() {
            place.make_file(&mut &*content, 0o644)?;
        }
    }
    if find_resident(tree)?.is_none() {
        add_resident(tree)?;
    }
    let resident = find_resident(tree)?.ok_or(io::ErrorKind::InvalidData)?;
    tree.ensure(&resident.home)
}

/// As `etc/passwd` has it: passwd(5).
pub(crate) fn find_resident(tree: &Tree) -> io::Result<Option<Resident>> {
    let passwd = tree.place(Path::new("etc/passwd"))?.read()?;
    let passwd = String::from_utf8_lossy(&passwd);
    Ok(passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [USER, _, uid, gid, _, home, _] = fields.as_slice() else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        let below_root = home.starts_with('/') && home.len() > 1 && !home.contains("..");
        let home = if below_root { home } else { "/home/shelluser" };
        Some(Resident { uid, gid, home: PathBuf::from(home) })
    }))
}

fn add_resident(tree: &Tree) -> io::Result<()> {
    let passwd = tree.place(Path::new("etc/passwd"))?;
    let group = tree.place(Path::new("etc/group"))?;
    let users = or_else(passwd.read()?, "root:x:0:0:root:/root:/bin/sh\n");
    let groups = or_else(group.read()?, "root:x:0:\n");
    let taken = |id: &u32| number_is_in(&users, *id) || number_is_in(&groups, *id);
    let id = (SHELL_UID..60_000).find(|id| !taken(id)).ok_or(io::ErrorKind::InvalidData)?;
    let users = format!("{users}{USER}:x:{id}:{id}::/home/{USER}:/bin/sh\n");
    let groups = format!("{groups}{USER}:x:{id}:\n");
    passwd.make_file(&mut users.as_bytes(), 0o644)?;
    group.make_file(&mut groups.as_bytes(), 0o644)?;
    Ok(())
}

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

fn number_is_in(table: &str, id: u32) -> bool {
    let id = id.to_string();
    table.lines().any(|line| line.split(':').nth(2) == Some(id.as_str()))
}
