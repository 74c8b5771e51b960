//! Adds to an image what every root must have: the user, its home directory, mount points, and
//! directories that every user may write to.

use std::io;
use std::path::Path;

use super::settings::{Account, ShellUser, find_shell_user};
use super::tree::Tree;
use crate::rootfs::SHELL_UID;

pub(super) const USER: &str = "shelluser";
const DIRECTORIES: [&str; 4] = ["dev", "proc", "run/ephemeral", "sys/fs/cgroup"];
/// In other sandboxes root writes to them; here no command is root.
const WRITABLE: [&str; 5] = ["tmp", "run", "run/lock", "var/log", "var/tmp"];

/// Adds what the image lacks. `account` is the user that the image names for its commands.
pub(super) fn add(tree: &Tree, account: Option<&Account>, workdir: &Path) -> io::Result<()> {
    for dir in DIRECTORIES.iter().chain(&WRITABLE) {
        tree.ensure(Path::new(dir))?;
    }
    for dir in WRITABLE {
        if let Some(dir) = tree.resolved(Path::new(dir))? {
            dir.set_mode(0o1777)?;
        }
    }
    let hosts: &[u8] = b"127.0.0.1 localhost shell\n::1 localhost\n";
    for (name, content) in [("etc/hosts", hosts), ("etc/resolv.conf", b"")] {
        let file = tree.entry(Path::new(name))?;
        if file.read()?.is_empty() {
            file.make_file(&mut &*content, 0o644)?;
        }
    }
    match account {
        Some(account) => replace_shell_user(tree, account)?,
        None if find_shell_user(tree)?.is_none() => add_shell_user(tree)?,
        None => {}
    }
    let user = find_shell_user(tree)?.ok_or(io::ErrorKind::InvalidData)?;
    add_home(tree, &user)?;
    tree.ensure(workdir)
}

/// Creates the home directory unless it exists.
fn add_home(tree: &Tree, user: &ShellUser) -> io::Result<()> {
    if user.home == Path::new("/") || tree.resolved(&user.home)?.is_some() {
        return Ok(());
    }
    tree.ensure(&user.home)?;
    let Some(home) = tree.resolved(&user.home)? else { return Ok(()) };
    home.give_to(user.uid, user.gid)?;
    home.set_mode(0o700)
}

/// Makes shelluser another name of the account, and a member of its groups.
fn replace_shell_user(tree: &Tree, account: &Account) -> io::Result<()> {
    let passwd = tree.entry(Path::new("etc/passwd"))?;
    let group = tree.entry(Path::new("etc/group"))?;
    let users = or_else(passwd.read()?, "root:x:0:0:root:/root:/bin/sh\n");
    let others = users.lines().filter(|line| line.split(':').next() != Some(USER));
    let mut users: String = others.map(|line| format!("{line}\n")).collect();
    let (ShellUser { uid, gid, home }, shell) = (&account.user, &account.shell);
    users.push_str(&format!("{USER}:x:{uid}:{gid}::{}:{shell}\n", home.display()));
    let groups = or_else(group.read()?, "root:x:0:\n");
    let groups: String = groups.lines().map(|line| with_member(line, &account.groups)).collect();
    passwd.make_file(&mut users.as_bytes(), 0o644)?;
    group.make_file(&mut groups.as_bytes(), 0o644)?;
    Ok(())
}

/// The line of group(5), with shelluser as a member if it is one of these groups and else without.
fn with_member(line: &str, groups: &[u32]) -> String {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, password, gid, members] = fields[..] else { return format!("{line}\n") };
    let mut members: Vec<&str> =
        members.split(',').filter(|member| !member.is_empty() && *member != USER).collect();
    if gid.parse().is_ok_and(|gid| groups.contains(&gid)) {
        members.push(USER);
    }
    format!("{name}:{password}:{gid}:{}\n", members.join(","))
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
