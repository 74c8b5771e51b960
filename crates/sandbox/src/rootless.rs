//! How a server that isn't root has root, and other users, in its sandboxes: user_namespaces(7).

use std::fs;
use std::path::Path;

use rustix::process::{getegid, geteuid};
use serde::{Deserialize, Serialize};

use crate::host;

/// Numbers that a user namespace needs besides 0: those of an image's users.
const WANTED: u32 = 65_535;

/// Who is who in a sandbox: 0 is the server's user, 1 and up are in a range that it may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdMap {
    users: Range,
    groups: Range,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    own: u32,
    first: u32,
    count: u32,
}

/// Why a server that isn't root can't have sandboxes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoIdMap {
    #[error("without root, it takes newuidmap and newgidmap (Debian's package uidmap)")]
    NoProgram,
    #[error("without root, it takes a range of {WANTED} numbers for {user} in {file}")]
    NoRange { user: String, file: &'static str },
}

impl IdMap {
    /// `None` for root, who needs none.
    pub(crate) fn find() -> Result<Option<Self>, NoIdMap> {
        if geteuid().is_root() {
            return Ok(None);
        }
        for program in ["newuidmap", "newgidmap"] {
            host::program(program).ok_or(NoIdMap::NoProgram)?;
        }
        let users = Range::find("/etc/subuid", geteuid().as_raw())?;
        let groups = Range::find("/etc/subgid", getegid().as_raw())?;
        Ok(Some(Self { users, groups }))
    }

    /// What to run on the host, as arguments to a shell whose parent is the process to map.
    pub(crate) fn script(&self) -> String {
        let map = |range: &Range| format!("0 {} 1 1 {} {}", range.own, range.first, range.count);
        let (users, groups) = (map(&self.users), map(&self.groups));
        format!("newuidmap \"$PPID\" {users} && newgidmap \"$PPID\" {groups}")
    }
}

impl Range {
    fn find(file: &'static str, own: u32) -> Result<Self, NoIdMap> {
        let uid = geteuid().as_raw();
        let user = name_of(uid, &fs::read_to_string("/etc/passwd").unwrap_or_default());
        let table = fs::read_to_string(Path::new(file)).unwrap_or_default();
        let found = Self::parse(&table, &user, uid);
        let (first, count) = found.ok_or(NoIdMap::NoRange { user, file })?;
        Ok(Self { own, first, count })
    }

    /// Lines of subuid(5): a user's name or number, the first number of its range, how many.
    fn parse(table: &str, user: &str, uid: u32) -> Option<(u32, u32)> {
        table.lines().find_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next().filter(|o| *o == user || o.parse() == Ok(uid));
            let (first, count) = owner.and(Some((fields.next()?, fields.next()?)))?;
            let (first, count) = (first.parse().ok()?, count.trim().parse::<u32>().ok()?);
            (count >= WANTED).then_some((first, WANTED))
        })
    }
}

fn name_of(uid: u32, passwd: &str) -> String {
    let number = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(number.as_str()));
    line.and_then(|line| line.split(':').next()).unwrap_or(&number).to_owned()
}

#[cfg(test)]
mod tests;
