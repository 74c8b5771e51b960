//! How the commands of an image run: its user, environment and working directory.

use std::io;
use std::path::{Path, PathBuf};

use super::base_files::USER;
use super::manifest::RunConfig;
use super::tree::Tree;
use super::{ImageError, damaged};
use crate::rootfs::SHELL_UID;

/// The user that commands run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShellUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
}

/// How commands run unless the session or the command says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) user: ShellUser,
    /// Variables as `NAME=VALUE`.
    pub(crate) env: Vec<String>,
    /// `/` if the image names none; commands start in their user's home then.
    pub(crate) workdir: PathBuf,
}

/// The settings of the image `host`.
impl Default for Settings {
    fn default() -> Self {
        let home = PathBuf::from("/home/shelluser");
        let user = ShellUser { uid: SHELL_UID, gid: SHELL_UID, home };
        Self { user, env: Vec::new(), workdir: PathBuf::from("/") }
    }
}

impl Settings {
    /// The settings of an unpacked image.
    pub(super) fn read(tree: &Tree, config: &RunConfig) -> io::Result<Self> {
        let user = find_shell_user(tree)?.ok_or(io::ErrorKind::NotFound)?;
        let is_variable = |text: &&String| text.split_once('=').is_some_and(|(n, _)| !n.is_empty());
        // The home directory follows from the user.
        let variables = config.env.iter().flatten();
        let variables = variables.filter(is_variable).filter(|text| !text.starts_with("HOME="));
        Ok(Self { user, env: variables.cloned().collect(), workdir: workdir(config) })
    }
}

/// The image's working directory as an absolute path.
pub(super) fn workdir(config: &RunConfig) -> PathBuf {
    let named = Path::new(config.working_dir.as_deref().unwrap_or_default());
    let is_plain = !named.components().any(|part| part.as_os_str() == "..");
    if is_plain { Path::new("/").join(named) } else { PathBuf::from("/") }
}

/// The account that an image's `USER` names.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) user: ShellUser,
    pub(super) shell: String,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
}

impl Account {
    /// Resolves `USER`: a name or number, and possibly `:` and the name or number of a group. `None` if
    /// it names root or nobody in particular.
    ///
    /// # Errors
    /// `Damaged` if the image does not know the name.
    pub(super) fn of_image(tree: &Tree, config: &RunConfig) -> Result<Option<Self>, ImageError> {
        let named = config.user.as_deref().unwrap_or_default();
        let (user, group) = named.split_once(':').unwrap_or((named, ""));
        let passwd = tree.table("etc/passwd")?;
        let groups = tree.table("etc/group")?;
        let number = user.parse().ok();
        let by_number = |entry: &&Entry| number.is_some() && entry.id(2) == number;
        let by_name = passwd.iter().find(|entry| !user.is_empty() && entry.name() == user);
        let entry = by_name.or_else(|| passwd.iter().find(by_number));
        let uid = entry.and_then(|entry| entry.id(2)).or(number);
        let uid = match uid {
            Some(uid) => uid,
            None if matches!(user, "" | "root") => return Ok(None),
            None => return Err(damaged(format!("its user {user} is not in its /etc/passwd"))),
        };
        if uid == 0 {
            return Ok(None);
        }
        let named_group = groups.iter().find(|e| e.name() == group).and_then(|e| e.id(2));
        let gid = match named_group.or_else(|| group.parse().ok()) {
            Some(gid) => gid,
            None if group.is_empty() => entry.and_then(|entry| entry.id(3)).unwrap_or(0),
            None => return Err(damaged(format!("its group {group} is not in its /etc/group"))),
        };
        let home = home(config, entry);
        let shell = entry.map(|entry| entry.field(6)).filter(|shell| !shell.is_empty());
        let shell = shell.unwrap_or("/bin/sh").to_owned();
        // As in Docker, a group that is named replaces all others.
        let name = entry.map(Entry::name).filter(|_| group.is_empty());
        let is_member = |group: &&Entry| {
            name.is_some_and(|name| group.field(3).split(',').any(|member| member == name))
        };
        let groups = groups.iter().filter(is_member).filter_map(|group| group.id(2)).collect();
        Ok(Some(Self { user: ShellUser { uid, gid, home }, shell, groups }))
    }
}

/// The variable `HOME` of the image, or else the user's home in passwd(5).
fn home(config: &RunConfig, entry: Option<&Entry>) -> PathBuf {
    let variable = config.env.iter().flatten().find_map(|text| text.strip_prefix("HOME="));
    let named = variable.or(entry.map(|entry| entry.field(5))).unwrap_or_default();
    // A colon would end the field in passwd(5).
    let is_usable = named.starts_with('/') && !named.contains("..") && !named.contains([':', '\n']);
    PathBuf::from(if is_usable { named } else { "/" })
}

/// Finds shelluser in the image's `etc/passwd`; see passwd(5).
pub(super) fn find_shell_user(tree: &Tree) -> io::Result<Option<ShellUser>> {
    let passwd = tree.table("etc/passwd")?;
    let entry = passwd.iter().find(|entry| entry.name() == USER);
    Ok(entry.and_then(|entry| {
        let home = entry.field(5);
        let is_usable = home.starts_with('/') && !home.contains("..");
        let home = if is_usable { home } else { "/home/shelluser" };
        Some(ShellUser { uid: entry.id(2)?, gid: entry.id(3)?, home: PathBuf::from(home) })
    }))
}

/// A line of passwd(5) or group(5).
#[derive(Debug)]
struct Entry(String);

impl Entry {
    fn field(&self, number: usize) -> &str {
        self.0.split(':').nth(number).unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.field(0)
    }

    fn id(&self, number: usize) -> Option<u32> {
        self.field(number).parse().ok()
    }
}

impl Tree {
    /// The lines of a table; none if the file does not exist.
    fn table(&self, path: &str) -> io::Result<Vec<Entry>> {
        let content = self.entry(Path::new(path))?.read()?;
        let text = String::from_utf8_lossy(&content);
        Ok(text.lines().map(|line| Entry(line.to_owned())).collect())
    }
}
