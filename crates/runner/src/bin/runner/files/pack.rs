use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use runner::protocol::files::{Attributes, Done, FileError, FileKind, MAX_PIECE_BYTES, Reply};
use rustix::fs::Dir;
use tar::{Builder, EntryType, Header};

use super::channel::Channel;
use super::error::Failure;
use super::open;

/// The deepest directory that is packed; each level takes a descriptor.
const MAX_DEPTH: usize = 1000;

/// Sends a tar archive of a file, or of the content of a directory.
pub(super) fn pack(path: &Path, gzip: bool, channel: &mut Channel) -> Result<Done, Failure> {
    let found = open::found(path)?.ok_or(rustix::io::Errno::NOENT)?;
    let source = match found.kind {
        FileKind::Directory => Source::Directory(open::directory(path)?),
        FileKind::File | FileKind::Symlink | FileKind::Other => {
            let (file, attributes) = open::file(path)?;
            let name = path.file_name().unwrap_or(OsStr::new("file"));
            Source::File(file, attributes, PathBuf::from(name))
        }
    };
    channel.reply(&Reply::Ready)?;
    let pieces = Pieces { channel, piece: Vec::new(), lost: false };
    if gzip {
        let (done, encoder) = source.pack(GzEncoder::new(pieces, Compression::fast()))?;
        encoder.finish().map_err(lost)?.finish()?;
        Ok(done)
    } else {
        let (done, pieces) = source.pack(pieces)?;
        pieces.finish()?;
        Ok(done)
    }
}

enum Source {
    File(File, Attributes, PathBuf),
    Directory(OwnedFd),
}

impl Source {
    fn pack<W: Write>(self, out: W) -> Result<(Done, W), Failure> {
        let mut packer = Packer { tar: Builder::new(out), entries: 0 };
        match self {
            Self::File(file, attributes, name) => packer.file(&name, &file, &attributes)?,
            Self::Directory(directory) => packer.tree(directory)?,
        }
        let done = Done { entries: packer.entries, ..Done::default() };
        Ok((done, packer.tar.into_inner().map_err(lost)?))
    }
}

struct Packer<W: Write> {
    tar: Builder<W>,
    entries: u64,
}

impl<W: Write> Packer<W> {
    fn tree(&mut self, root: OwnedFd) -> Result<(), Failure> {
        let mut open = vec![(Dir::read_from(&root)?, root, PathBuf::new())];
        while let Some((names, directory, prefix)) = open.last_mut() {
            let Some(entry) = names.next().transpose()? else {
                open.pop();
                continue;
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let name = Path::new(OsStr::from_bytes(name));
            let path = prefix.join(name);
            if let Some(below) = self.entry(directory, name, &path)? {
                if open.len() >= MAX_DEPTH {
                    let message = "the directories are nested too deeply for an archive";
                    return Err(Failure::new(FileError::InvalidPath, message));
                }
                open.push((Dir::read_from(&below)?, below, path));
            }
        }
        Ok(())
    }

    /// Adds an entry of a directory; returns it if it is a directory. Pipes, sockets and devices are left
    /// out, and so is what was removed meanwhile.
    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &Path,
        path: &Path,
    ) -> Result<Option<OwnedFd>, Failure> {
        let Ok(attributes) = open::attributes_at(directory, name) else { return Ok(None) };
        match attributes.kind {
            FileKind::Directory => {
                let below = open::directory_at(directory, name)?;
                let header = &mut header(EntryType::Directory, &attributes, 0);
                self.append(|tar| tar.append_data(header, path, io::empty()))?;
                return Ok(Some(below));
            }
            FileKind::File => {
                let (file, attributes) = open::file_at(directory, name)?;
                self.file(path, &file, &attributes)?;
            }
            FileKind::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
                let target = OsStr::from_bytes(target.to_bytes());
                let header = &mut header(EntryType::Symlink, &attributes, 0);
                self.append(|tar| tar.append_link(header, path, Path::new(target)))?;
            }
            FileKind::Other => {}
        }
        Ok(None)
    }

    fn file(&mut self, path: &Path, file: &File, attributes: &Attributes) -> Result<(), Failure> {
        let header = &mut header(EntryType::Regular, attributes, attributes.size);
        // A file that grows meanwhile is cut; for one that shrinks zeros follow, as tar(1) does it.
        let content = file.take(attributes.size).chain(io::repeat(0)).take(attributes.size);
        self.append(|tar| tar.append_data(header, path, content))
    }

    fn append(
        &mut self,
        append: impl FnOnce(&mut Builder<W>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        self.entries += 1;
        append(&mut self.tar).map_err(lost)
    }
}

fn header(kind: EntryType, attributes: &Attributes, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(attributes.mode & 0o777);
    set_time(&mut header, attributes.modified.0);
    header
}

fn set_time(header: &mut Header, seconds: i64) {
    if let Ok(seconds) = u64::try_from(seconds) {
        header.set_mtime(seconds);
    } else if let Some(gnu) = header.as_gnu_mut() {
        // Negative: in base 256 with its sign, as GNU tar writes it.
        let (sign, number) = gnu.mtime.split_at_mut(4);
        sign.fill(0xff);
        number.copy_from_slice(&seconds.to_be_bytes());
    }
}

/// A failure after the first piece can only be shown by an archive that ends too early.
fn lost(_: io::Error) -> Failure {
    Failure::Lost
}

/// Gathers bytes to pieces.
struct Pieces<'a> {
    channel: &'a mut Channel,
    piece: Vec<u8>,
    lost: bool,
}

impl Pieces<'_> {
    fn finish(mut self) -> Result<(), Failure> {
        self.send().map_err(lost)
    }

    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let sent = self.channel.send(&self.piece);
        self.piece.clear();
        sent.map_err(|_| {
            self.lost = true;
            io::ErrorKind::BrokenPipe.into()
        })
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lost {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(MAX_PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.piece.len() == MAX_PIECE_BYTES {
            self.send()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
