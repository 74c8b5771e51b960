use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use runner::protocol::files::{Bytes, Done, Entry, FileKind, MAX_ENTRIES, Reply};
use rustix::fs::Dir;

use super::channel::Channel;
use super::error::Failure;
use super::open;

/// How many directories of a list may wait to be read.
const MAX_WAITING: usize = 10_000;
/// The most bytes of all paths and targets of a list: the caller holds them in memory.
const MAX_BYTES: usize = 1 << 20;

/// Lists a directory level by level, each directory in the order of names.
pub(super) fn list(
    path: &Path,
    depth: u32,
    limit: u32,
    channel: &mut Channel,
) -> Result<Done, Failure> {
    let root = open::directory(path)?;
    let mut list = List {
        channel,
        entries: Vec::new(),
        left: limit,
        bytes_left: MAX_BYTES,
        done: Done::default(),
    };
    let mut level = vec![PathBuf::new()];
    for _ in 0..depth {
        let mut next = Vec::new();
        for prefix in std::mem::take(&mut level) {
            // A directory that has gone, or that this user can't read, is listed without its content.
            let Ok(directory) = open::directory_below(&root, &prefix) else { continue };
            list.directory(&prefix, directory, &mut next)?;
        }
        level = next;
    }
    list.flush()?;
    Ok(list.done)
}

struct List<'a> {
    channel: &'a mut Channel,
    /// Entries that were not sent yet.
    entries: Vec<Entry>,
    /// How many more entries may be sent.
    left: u32,
    /// How many more bytes of paths and targets may be sent.
    bytes_left: usize,
    done: Done,
}

impl List<'_> {
    fn directory(
        &mut self,
        prefix: &Path,
        directory: OwnedFd,
        below: &mut Vec<PathBuf>,
    ) -> Result<(), Failure> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() >= self.left as usize {
                self.done.truncated = true;
                break;
            }
            names.push(name);
        }
        names.sort_unstable();
        for name in names {
            let name = Path::new(OsStr::from_bytes(&name));
            // It may have been removed meanwhile.
            let Ok(attributes) = open::attributes_at(&directory, name) else { continue };
            let path = prefix.join(name);
            let target = (attributes.kind == FileKind::Symlink)
                .then(|| rustix::fs::readlinkat(&directory, name, Vec::new()).ok())
                .flatten();
            if attributes.kind == FileKind::Directory {
                if below.len() < MAX_WAITING {
                    below.push(path.clone());
                } else {
                    self.done.truncated = true;
                }
            }
            let path = Bytes(path.as_os_str().as_bytes().to_vec());
            let target = target.map(|target| Bytes(target.into_bytes()));
            let bytes = path.0.len() + target.as_ref().map_or(0, |target| target.0.len());
            let Some(bytes_left) = self.bytes_left.checked_sub(bytes) else {
                self.done.truncated = true;
                self.left = 0;
                return Ok(());
            };
            self.bytes_left = bytes_left;
            self.push(Entry { path, attributes, target })?;
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry) -> Result<(), Failure> {
        self.entries.push(entry);
        self.left -= 1;
        self.done.entries += 1;
        if self.entries.len() >= MAX_ENTRIES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let entries = std::mem::take(&mut self.entries);
        if entries.is_empty() { Ok(()) } else { self.channel.reply(&Reply::Entries { entries }) }
    }
}
