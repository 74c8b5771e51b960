//! Opens files so that no special file blocks, and nothing of this process is read.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use runner::protocol::files::{Attributes, FileError, FileKind};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

use super::error::Failure;

/// The longest path in bytes, without its final NUL.
const MAX_PATH_BYTES: usize = 4095;
/// The type of procfs, of statfs(2). Its files are not data: they have no size, and those of this process
/// show the memory of the runner that it was forked from.
const PROC: rustix::fs::FsWord = 0x9fa0;

/// The path, if system calls take it.
pub(super) fn checked(path: Vec<u8>) -> Result<OsString, Failure> {
    let refuse = |message: &str| Err(Failure::new(FileError::InvalidPath, message));
    match path {
        path if path.is_empty() => refuse("the path is empty"),
        path if path.contains(&0) => refuse("the path contains a NUL byte"),
        path if path.len() > MAX_PATH_BYTES => refuse("the path is longer than 4095 bytes"),
        path => Ok(OsString::from_vec(path)),
    }
}

/// Opens a regular file for reading.
pub(super) fn file(path: &Path) -> Result<(File, Attributes), Failure> {
    // Opening a device may have effects, so the type is checked before, and again afterwards.
    must_be_file(&attributes(&rustix::fs::stat(path)?))?;
    let opened = rustix::fs::open(path, READ | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
    of_file(opened)
}

/// Opens a regular file in this directory for reading.
pub(super) fn file_at(directory: impl AsFd, name: &Path) -> Result<(File, Attributes), Failure> {
    let flags = READ | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    of_file(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

fn of_file(opened: OwnedFd) -> Result<(File, Attributes), Failure> {
    let attributes = attributes(&rustix::fs::fstat(&opened)?);
    must_be_file(&attributes)?;
    refuse_proc(&opened)?;
    Ok((File::from(opened), attributes))
}

/// Opens a directory.
pub(super) fn directory(path: &Path) -> Result<OwnedFd, Failure> {
    let opened = rustix::fs::open(path, READ | OFlags::DIRECTORY, Mode::empty())?;
    refuse_proc(&opened)?;
    Ok(opened)
}

/// Opens a directory in this directory, which must not be a symbolic link.
pub(super) fn directory_at(parent: impl AsFd, name: &Path) -> Result<OwnedFd, Failure> {
    let flags = READ | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    refuse_proc(&opened)?;
    Ok(opened)
}

/// Opens the directory that these names lead to from another one, without following a symbolic link.
pub(super) fn directory_below(
    root: &OwnedFd,
    names: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<OwnedFd, Failure> {
    let mut directory = root.try_clone()?;
    for name in names {
        directory = directory_at(&directory, Path::new(&name))?;
    }
    Ok(directory)
}

/// The attributes of an entry of a directory; those of a symbolic link itself.
pub(super) fn attributes_at(directory: impl AsFd, name: &Path) -> Result<Attributes, Failure> {
    Ok(attributes(&rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// The attributes of what the path leads to; `None` if that does not exist.
pub(super) fn found(path: &Path) -> Result<Option<Attributes>, Failure> {
    match rustix::fs::statat(CWD, path, AtFlags::empty()) {
        Ok(stat) => Ok(Some(attributes(&stat))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn must_be_file(attributes: &Attributes) -> Result<(), Failure> {
    let message = match attributes.kind {
        FileKind::File => return Ok(()),
        FileKind::Directory => "it is a directory",
        FileKind::Symlink | FileKind::Other => "it is a special file",
    };
    Err(Failure::new(FileError::NotAFile, message))
}

fn refuse_proc(opened: impl AsFd) -> Result<(), Failure> {
    match rustix::fs::fstatfs(opened)?.f_type {
        PROC => Err(Failure::new(FileError::NotAFile, "it is a file of the kernel, in /proc")),
        _ => Ok(()),
    }
}

pub(super) fn attributes(stat: &Stat) -> Attributes {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => FileKind::Other,
    };
    Attributes {
        kind,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o7777,
        modified: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        inode: stat.st_ino,
    }
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);
