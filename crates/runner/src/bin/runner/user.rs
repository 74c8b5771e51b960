//! The user that a command runs as, read from the image's `/etc/passwd` and `/etc/group` without NSS.

use thiserror::Error;

/// A user of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
    pub(crate) shell: String,
}

/// A command can't run as the requested user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum UserError {
    #[error("no such user in the image's /etc/passwd")]
    Unknown,
    #[error("commands can't run as root in this shell; name another user")]
    Root,
}

impl User {
    /// Finds the user by name, or by number, in the content of passwd(5) and group(5).
    ///
    /// # Errors
    /// `Root` if the user's uid is 0 and root is not allowed.
    pub(crate) fn named(
        name: &str,
        passwd: &str,
        group: &str,
        allow_root: bool,
    ) -> Result<Self, UserError> {
        let number = || entries(passwd).find(|user| name.parse() == Ok(user.uid));
        let user = entries(passwd).find(|user| user.name == name).or_else(number);
        let user = user.ok_or(UserError::Unknown)?;
        if user.uid == 0 && !allow_root {
            return Err(UserError::Root);
        }
        Ok(Self { groups: groups_of(&user.name, group), ..user })
    }

    /// The user that this process runs as; the requested `name` is used only if passwd(5) lacks it.
    pub(crate) fn current(name: &str, uid: u32, gid: u32, passwd: &str) -> Result<Self, UserError> {
        if uid == 0 || name == "root" {
            return Err(UserError::Root);
        }
        let unlisted = || Self {
            name: name.to_owned(),
            uid,
            gid,
            groups: Vec::new(),
            home: "/".to_owned(),
            shell: "/bin/sh".to_owned(),
        };
        Ok(entries(passwd).find(|user| user.uid == uid).unwrap_or_else(unlisted))
    }
}

fn entries(passwd: &str) -> impl Iterator<Item = User> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
        Some(User {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            groups: Vec::new(),
            home: or(home, "/"),
            shell: or(shell, "/bin/sh"),
        })
    })
}

fn groups_of(name: &str, group: &str) -> Vec<u32> {
    let gid = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members] = fields[..] else { return None };
        members.split(',').any(|member| member == name).then(|| gid.parse().ok())?
    };
    group.lines().filter_map(gid).collect()
}

fn or(text: &str, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
