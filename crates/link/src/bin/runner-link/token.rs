//! The token of the next connection and the number of the last attempt to connect, in the file that is this
//! process's standard input: a process that follows this one goes on with both.

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
        let mut bytes = [0; MAX_BYTES];
        let room = bytes.get_mut(..token.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        room.copy_from_slice(token.as_bytes());
        self.0.write_all_at(&bytes, 0)
    }

    /// The number of the next attempt to connect: higher than that of any attempt before, of this process or of
    /// one that it follows.
    pub(crate) fn next_attempt(&self) -> u64 {
        let mut bytes = [0; 8];
        // A file that nobody has written to is shorter, and has no attempt.
        let read = self.0.read_exact_at(&mut bytes, MAX_BYTES as u64);
        let next = read.map_or(0, |()| u64::from_le_bytes(bytes)).saturating_add(1);
        // The file is in memory. If it can't be written, the service may take a connection for an earlier one,
        // and the one after it is taken for a later one again.
        let _ = self.0.write_all_at(&next.to_le_bytes(), MAX_BYTES as u64);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_token_is_replaced_and_attempts_are_counted_on() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"first\n").unwrap();
        let token = Token(file.try_clone().unwrap());
        assert_eq!(token.read().unwrap(), "first");
        assert_eq!([token.next_attempt(), token.next_attempt()], [1, 2]);
        assert_eq!(token.read().unwrap(), "first");
        token.replace("a longer token").unwrap();
        token.replace("short").unwrap();
        let token = Token(file);
        assert_eq!((token.read().unwrap().as_str(), token.next_attempt()), ("short", 3));
        assert!(token.replace(&"x".repeat(MAX_BYTES + 1)).is_err());
        assert_eq!(token.read().unwrap(), "short");
    }
}
