use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use runner::protocol::files::{Done, FileError, Reply};
use rustix::fs::{AtFlags, Mode, Timespec, Timestamps};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::channel::Channel;
use super::error::Failure;
use super::replacement::{self, Replacement};
use super::{open, write};

mod input;
mod time;

use input::{Counted, Limited, Pieces};

/// The deepest path of an entry.
const MAX_DEPTH: usize = 1000;
/// The size of a block of an archive. Bytes.
const BLOCK: u64 = 512;
/// The most characters of a path that a message repeats.
const MAX_QUOTED: usize = 256;

/// Unpacks an archive below a directory. No path of the archive leads out of it: `..` is refused, and no
/// symbolic link is followed, neither one of the archive nor one that is there.
pub(super) fn unpack(path: &Path, gzip: bool, channel: &mut Channel) -> Result<Done, Failure> {
    write::create_directories(path)?;
    let root = open::directory(path)?;
    channel.reply(&Reply::Ready)?;
    let mut pieces = Pieces::new(channel);
    let unpacked = if gzip {
        unpack_limited(&root, MultiGzDecoder::new(&mut pieces))
    } else {
        unpack_limited(&root, &mut pieces)
    };
    if pieces.lost {
        return Err(Failure::Lost);
    }
    let entries =
        unpacked.map_err(|failure| failure.with_subject("the archive can't be unpacked"))?;
    Ok(Done { entries, ..Done::default() })
}

fn unpack_limited(root: &OwnedFd, bytes: impl Read) -> Result<u64, Failure> {
    let mut bytes = Limited::new(bytes);
    let unpacked = unpack_all(root, &mut bytes).and_then(|entries| {
        // Padding may follow an archive, and then the checksum of gzip.
        io::copy(&mut bytes, &mut io::sink()).map_err(invalid)?;
        Ok(entries)
    });
    match bytes.error {
        Some(error) => Err(refuse(&error)),
        None => unpacked,
    }
}

fn unpack_all(root: &OwnedFd, bytes: &mut impl Read) -> Result<u64, Failure> {
    let mut entries = 0;
    let mut counted = Counted::new(bytes);
    let mut end = 0;
    for entry in Archive::new(&mut counted).entries().map_err(invalid)? {
        let mut entry = entry.map_err(invalid)?;
        let modified = time::extended(&mut entry)?;
        end = entry.raw_file_position() + entry.header().entry_size().map_err(invalid)?;
        let path = entry.path_bytes().into_owned();
        unpack_entry(root, entry, &path, modified)
            .map_err(|failure| failure.with_subject(&quoted(&path)))?;
        entries += 1;
    }
    // An archive ends with a block of zeros. One that was cut between two entries would look complete.
    if counted.count > 0 && counted.count < end.next_multiple_of(BLOCK) + BLOCK {
        return Err(refuse("it ends without the mark of its end"));
    }
    Ok(entries)
}

/// The path of an entry in a message: in quotes, and cut if it is long.
fn quoted(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    match path.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{:?}", format!("{}…", path.get(..end).unwrap_or_default())),
        None => format!("{path:?}"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of entries have no end")]
fn unpack_entry(
    root: &OwnedFd,
    mut entry: Entry<'_, impl Read>,
    path: &[u8],
    modified: Option<Timespec>,
) -> Result<(), Failure> {
    let kind = entry.header().entry_type();
    let mode = entry.header().mode().map_err(invalid)? & 0o777;
    let names = names(path)?;
    let Some((name, parents)) = names.split_last() else {
        // The directory itself.
        return Ok(());
    };
    let parent = descend(root, parents)?;
    match kind {
        EntryType::Directory => create_directory(&parent, name, mode)?,
        // In archives of the oldest format, only the name tells a directory.
        EntryType::Regular if path.ends_with(b"/") => create_directory(&parent, name, mode)?,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut replacement = Replacement::create(parent, name.clone())?;
            let size = entry.size();
            if copy(&mut entry, &mut replacement.file)? < size {
                return Err(refuse("the archive ends within it"));
            }
            set_time(&replacement, modified.map_or_else(|| time::of_header(&entry), Ok)?)?;
            replacement.complete(mode)?;
        }
        EntryType::Symlink => {
            let target = link_target(&entry)?;
            replacement::make_room(&parent, Path::new(name))?;
            rustix::fs::symlinkat(OsStr::from_bytes(&target), &parent, Path::new(name))?;
        }
        EntryType::Link => hard_link(root, &link_target(&entry)?, &parent, name)?,
        // Attributes of the whole archive, such as a comment of git-archive(1).
        EntryType::XGlobalHeader => {}
        _ => return Err(refuse("it is no file, directory or link")),
    }
    Ok(())
}

/// The names of a path of an archive.
fn names(path: &[u8]) -> Result<Vec<OsString>, Failure> {
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(refuse("a path with .. is refused")),
            name => names.push(OsStr::from_bytes(name).to_owned()),
        }
    }
    if names.len() > MAX_DEPTH || path.contains(&0) {
        return Err(refuse("the path is too long or has a NUL byte"));
    }
    Ok(names)
}

/// Opens a directory below the root, and creates it where it does not exist.
fn descend(root: &OwnedFd, names: &[OsString]) -> Result<OwnedFd, Failure> {
    let mut directory = root.try_clone()?;
    for name in names {
        create_directory(&directory, name, 0o755)?;
        directory = open::directory_at(&directory, Path::new(name))?;
    }
    Ok(directory)
}

/// Creates a directory, unless there is one. The user keeps the right to write to it, for what follows.
fn create_directory(parent: &OwnedFd, name: &OsStr, mode: u32) -> Result<(), Failure> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode | 0o700)) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            // A symbolic link to a directory is none here.
            open::directory_at(parent, Path::new(name)).map(drop).map_err(|failure| {
                let is_in_the_way = [FileError::NotADirectory, FileError::InvalidPath];
                if matches!(&failure, Failure::Told(error, _) if is_in_the_way.contains(error)) {
                    return refuse("the path goes through a file or a symbolic link");
                }
                failure
            })
        }
        Err(error) => Err(error.into()),
    }
}

fn hard_link(root: &OwnedFd, target: &[u8], parent: &OwnedFd, name: &OsStr) -> Result<(), Failure> {
    let target = names(target)?;
    let (target, parents) = target.split_last().ok_or_else(|| refuse("it is a link to nothing"))?;
    let missing = |failure| match failure {
        Failure::Told(FileError::NotFound, _) => {
            refuse("it is a hard link to a file that is not there")
        }
        other @ (Failure::Told(..) | Failure::Lost) => other,
    };
    let directory = open::directory_below(root, parents).map_err(missing)?;
    if target == name && same(&directory, parent)? {
        return Err(refuse("it is a hard link to itself"));
    }
    open::attributes_at(&directory, Path::new(target)).map_err(missing)?;
    replacement::make_room(parent, Path::new(name))?;
    Ok(rustix::fs::linkat(&directory, target, parent, name, AtFlags::empty())?)
}

fn same(one: &OwnedFd, other: &OwnedFd) -> Result<bool, Failure> {
    let (one, other) = (rustix::fs::fstat(one)?, rustix::fs::fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

fn link_target(entry: &Entry<'_, impl Read>) -> Result<Vec<u8>, Failure> {
    let target = entry.link_name_bytes().map(|target| target.into_owned());
    target.filter(|target| !target.is_empty()).ok_or_else(|| refuse("it is a link to nothing"))
}

/// Copies an entry, and returns its size. Reading and writing fail for different reasons.
fn copy(entry: &mut impl Read, file: &mut impl Write) -> Result<u64, Failure> {
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let count = match entry.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(invalid(error)),
        };
        file.write_all(buffer.get(..count).unwrap_or_default())?;
        size += count as u64;
    }
}

fn set_time(replacement: &Replacement, time: Timespec) -> Result<(), Failure> {
    let times = Timestamps { last_access: time, last_modification: time };
    match rustix::fs::futimens(&replacement.file, &times) {
        // A time beyond what the file system can hold.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn refuse(message: &str) -> Failure {
    Failure::new(FileError::InvalidArchive, message)
}

fn invalid(error: io::Error) -> Failure {
    refuse(&error.to_string())
}
