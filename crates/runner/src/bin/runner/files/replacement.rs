//! A file that takes the place of another one once it is complete.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::error::Failure;

/// How many names are tried for a file that is not complete.
const MAX_ATTEMPTS: u32 = 100;

/// A file beside the one that it replaces. Dropping it removes it.
pub(super) struct Replacement {
    directory: OwnedFd,
    temporary: PathBuf,
    name: OsString,
    pub(super) file: File,
    is_complete: bool,
}

impl Replacement {
    pub(super) fn create(directory: OwnedFd, name: OsString) -> Result<Self, Failure> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let own = std::process::id();
        for attempt in 0..MAX_ATTEMPTS {
            let temporary = PathBuf::from(format!(".ephemeral-{own}-{attempt}.part"));
            let mode = Mode::RUSR | Mode::WUSR;
            match rustix::fs::openat(&directory, &temporary, flags, mode) {
                Ok(file) => {
                    let file = File::from(file);
                    return Ok(Self { directory, temporary, name, file, is_complete: false });
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Puts the file into its place, with these permission bits.
    pub(super) fn complete(mut self, mode: u32) -> Result<File, Failure> {
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode & 0o7777))?;
        rustix::fs::renameat(&self.directory, &self.temporary, &self.directory, &self.name)?;
        self.is_complete = true;
        Ok(self.file.try_clone()?)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_complete {
            // If this fails, the file ends with the shell.
            let _ = rustix::fs::unlinkat(&self.directory, &self.temporary, AtFlags::empty());
        }
    }
}

/// Removes what is in the place of something that is no file. A directory stays, and is an error.
pub(super) fn make_room(directory: impl AsFd, name: &Path) -> Result<(), Failure> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
