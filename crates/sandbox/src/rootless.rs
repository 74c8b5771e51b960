//! The user namespace of sandboxes whose server isn't root: user_namespaces(7).

use std::fs;
use std::path::Path;

use rustix::process::{getegid, geteuid};
use serde::{Deserialize, Serialize};

use crate::host;

/// Number of ids that a user namespace needs besides 0: those that an image's users may have.
const COUNT: u32 = 65_535;

/// The id mapping of a user namespace: 0 inside is the server's user, 1 and above are in the
/// subordinate id range of that user.
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

/// Rootless mode needs an id mapping that this host does not provide.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdMapError {
    #[error("rootless mode needs newuidmap and newgidmap: install the package uidmap")]
    NoProgram,
    #[error(
        "rootless mode needs a range of {COUNT} ids for user {user} in {file}: \
         add the line `{user}:100000:65536`"
    )]
    NoRange { user: String, file: &'static str },
}

impl IdMap {
    /// The mapping for this process's user; `None` for root, which needs none.
    pub(crate) fn find() -> Result<Option<Self>, IdMapError> {
        if geteuid().is_root() {
            return Ok(None);
        }
        for program in ["newuidmap", "newgidmap"] {
            host::program(program).ok_or(IdMapError::NoProgram)?;
        }
        let users = Range::find("/etc/subuid", geteuid().as_raw())?;
        let groups = Range::find("/etc/subgid", getegid().as_raw())?;
        Ok(Some(Self { users, groups }))
    }

    /// A shell script that writes the mapping of the shell's parent process. It must run outside of the
    /// new user namespace.
    pub(crate) fn script(&self) -> String {
        let map = |range: &Range| format!("0 {} 1 1 {} {}", range.own, range.first, range.count);
        let (users, groups) = (map(&self.users), map(&self.groups));
        format!("newuidmap \"$PPID\" {users} && newgidmap \"$PPID\" {groups}")
    }
}

impl Range {
    fn find(file: &'static str, own: u32) -> Result<Self, IdMapError> {
        let uid = geteuid().as_raw();
        let user = name_of(uid, &fs::read_to_string("/etc/passwd").unwrap_or_default());
        let table = fs::read_to_string(Path::new(file)).unwrap_or_default();
        let found = Self::parse(&table, &user, uid);
        let (first, count) = found.ok_or(IdMapError::NoRange { user, file })?;
        Ok(Self { own, first, count })
    }

    /// Parses subuid(5): each line has a user's name or number, the first id of a range, and its length.
    fn parse(table: &str, user: &str, uid: u32) -> Option<(u32, u32)> {
        table.lines().find_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next().filter(|o| *o == user || o.parse() == Ok(uid));
            let (first, count) = owner.and(Some((fields.next()?, fields.next()?)))?;
            let (first, count) = (first.parse().ok()?, count.trim().parse::<u32>().ok()?);
            (count >= COUNT).then_some((first, COUNT))
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
