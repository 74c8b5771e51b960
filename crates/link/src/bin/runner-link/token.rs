//! The token of the next connection, in the file that is this process's standard input.

use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
};

/// More than a token has.
const MAX_BYTES: usize = 1024;

/// `Debug` is not implemented: the token must not be printed.
pub(crate) struct Token(File);

impl Token {
    pub(crate) fn of_stdin() -> io::Result<Self> {
        Ok(Self(File::from(io::stdin().as_fd().try_clone_to_owned()?)))
    }

    pub(crate) fn read(&self) -> io::Result<String> {
        let mut bytes = [0; MAX_BYTES];
        let count = self.0.read_at(&mut bytes, 0)?;
        let text = String::from_utf8_lossy(&bytes[..count]);
        Ok(text.trim_end_matches(['\0', '\n']).to_owned())
    }

    /// Replaces the token, for this process and for one that follows it.
    pub(crate) fn replace(&self, token: &str) -> io::Result<()> {
        // A shorter token is filled up in the same call.
        let mut bytes = vec![0; MAX_BYTES.max(token.len())];
        bytes[..token.len()].copy_from_slice(token.as_bytes());
        self.0.write_all_at(&bytes, 0)
    }
}
