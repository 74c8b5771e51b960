//! What the two arguments of `cp` name.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use crate::error::CliError;

/// A source or a target.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Remote(Remote),
    Local(PathBuf),
    /// Standard input or output.
    Pipe,
}

/// A path in a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) shell: String,
    pub(super) path: OsString,
}

impl Place {
    pub(super) fn parse(text: OsString) -> Self {
        if text == "-" {
            return Self::Pipe;
        }
        let bytes = text.as_bytes();
        let colon = bytes.iter().position(|byte| *byte == b':');
        let parts = colon.and_then(|at| bytes.split_at_checked(at));
        let remote = parts.and_then(|(shell, path)| {
            let shell = str::from_utf8(shell).ok().filter(|id| id.starts_with("sh_"))?;
            let is_id = shell.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            is_id.then(|| Remote::new(shell, path.strip_prefix(b":").unwrap_or_default()))
        });
        match remote {
            Some(remote) => Self::Remote(remote),
            None => Self::Local(text.into()),
        }
    }
}

impl Remote {
    /// No path is the home directory.
    fn new(shell: &str, path: &[u8]) -> Self {
        let path = if path.is_empty() { b"." } else { path };
        Self { shell: shell.to_owned(), path: OsString::from_vec(path.to_vec()) }
    }

    /// Whether the path says that it is a directory.
    pub(super) fn names_a_directory(&self) -> bool {
        let path = self.path.as_bytes();
        path.ends_with(b"/") || [b".".as_slice(), b".."].contains(&path) || path.ends_with(b"/.")
    }

    /// The error of a request for this path, of which the server names the path alone.
    pub(super) fn error(&self, error: CliError) -> CliError {
        let path = format!("{}: ", self.path.to_string_lossy().escape_debug());
        let message = error.message().strip_prefix(&path);
        match message.map(str::to_owned) {
            Some(message) => error.with_message(message).about(self),
            None => error.about(self),
        }
    }

    /// A name in this directory.
    pub(super) fn join(&self, name: &OsStr) -> Self {
        let path = PathBuf::from(&self.path).join(name).into_os_string();
        Self { shell: self.shell.clone(), path }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.shell, self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::{OsString, Place, Remote};

    #[test]
    fn only_the_id_of_a_shell_before_a_colon_names_a_place_in_a_shell() {
        let remote =
            |path: &str| Place::Remote(Remote { shell: "sh_01J".to_owned(), path: path.into() });
        let parse = |text: &str| Place::parse(OsString::from(text));
        assert_eq!(parse("sh_01J:/a/b"), remote("/a/b"));
        assert_eq!(parse("sh_01J:a:b"), remote("a:b"));
        assert_eq!(parse("sh_01J:"), remote("."));
        assert_eq!(parse("-"), Place::Pipe);
        for local in ["./sh_01J:a", "sh_01J", "notes:txt", "sh_/x:y", "dir/-"] {
            assert_eq!(parse(local), Place::Local(local.into()), "{local}");
        }
    }
}
