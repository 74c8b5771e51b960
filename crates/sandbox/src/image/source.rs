//! Reads the files of an image by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::manifest::Blob;
use super::{ImageError, damaged};
use crate::digest;

const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// What follows the first byte, 0x50 to 0x5F, of a frame without data, with which pzstd(1) begins.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2A, 0x4D, 0x18];
/// Largest size of a manifest or a configuration that is read; real ones have a few KiB.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;

#[derive(Debug)]
pub(super) enum Source {
    Directory(PathBuf),
    Tar {
        file: File,
        /// Position and length of each member's content in the file.
        members: HashMap<PathBuf, (u64, u64)>,
    },
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, ImageError> {
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let mut file = File::open(path)?;
        let mut reader = BufReader::new(&file);
        if Compression::of(reader.fill_buf()?) != Compression::None {
            // Members are read in any order.
            let mut plain = tempfile()?;
            io::copy(&mut decompressed(reader)?, &mut plain)?;
            file = plain;
        }
        file.rewind()?;
        let not_an_image = |_| ImageError::NotAnImage(path.to_owned());
        let members = members(&file).map_err(not_an_image)?;
        Ok(Self::Tar { file, members })
    }

    /// The content of a small file; `None` if no file has this name.
    pub(super) fn document(&mut self, name: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let Some(reader) = self.reader(name)? else { return Ok(None) };
        let mut text = Vec::new();
        reader.take(MAX_DOCUMENT_BYTES).read_to_end(&mut text)?;
        Ok(Some(text))
    }

    /// A layer's uncompressed tar. If the layer does not match its digest, reading its end fails.
    pub(super) fn blob(&mut self, blob: &Blob) -> Result<Box<dyn Read + '_>, ImageError> {
        let missing = || damaged(format!("the file {} is missing", blob.name));
        let reader = self.reader(&blob.name)?.ok_or_else(missing)?;
        let checked = Checked { reader, hash: Sha256::new(), expected: blob.sha256.clone() };
        Ok(decompressed(BufReader::with_capacity(1 << 16, checked))?)
    }

    fn reader(&mut self, name: &str) -> Result<Option<Box<dyn Read + '_>>, ImageError> {
        let path = Path::new(name);
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(damaged(format!("the path {name} leads out of the image")));
        }
        match self {
            Self::Directory(dir) => match File::open(dir.join(path)) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Tar { file, members } => {
                let Some((start, length)) = members.get(&normalized(path)).copied() else {
                    return Ok(None);
                };
                file.seek(SeekFrom::Start(start))?;
                Ok(Some(Box::new(file.take(length))))
            }
        }
    }
}

fn members(file: &File) -> io::Result<HashMap<PathBuf, (u64, u64)>> {
    let mut members = HashMap::new();
    let mut links = Vec::new();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = normalized(&entry.path()?);
        match entry.link_name()? {
            // `docker save` writes identical layers as links.
            Some(target) => {
                links.push((name.clone(), normalized(&name.with_file_name("").join(target))))
            }
            None => drop(members.insert(name, (entry.raw_file_position(), entry.size()))),
        }
    }
    for (name, target) in links {
        if let Some(position) = members.get(&target).copied() {
            members.insert(name, position);
        }
    }
    Ok(members)
}

/// The path without `.`, with `..` resolved lexically.
fn normalized(path: &Path) -> PathBuf {
    let mut normalized = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => normalized.push(name),
            Component::ParentDir => drop(normalized.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    normalized
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// The compression of a file that begins with these bytes.
    fn of(start: &[u8]) -> Self {
        let is_skippable =
            || matches!(start, [0x50..=0x5F, rest @ ..] if rest.starts_with(&ZSTD_SKIPPABLE));
        if start.starts_with(&GZIP) {
            Self::Gzip
        } else if start.starts_with(&ZSTD) || is_skippable() {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

/// The bytes without their compression. A file of several gzip members or zstd frames is read to its end.
fn decompressed<'a>(mut reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match Compression::of(reader.fill_buf()?) {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(MultiGzDecoder::new(reader)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(reader)?),
    })
}

/// A file without a name, which is removed when it is closed.
fn tempfile() -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)?;
    Ok(file.into())
}

/// Computes the digest of what is read and checks it at the end.
struct Checked<R> {
    reader: R,
    hash: Sha256,
    expected: Option<String>,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        if let Some(new) = buffer.get(..length).filter(|new| !new.is_empty()) {
            self.hash.update(new);
        } else if let Some(expected) = self.expected.take().filter(|_| !buffer.is_empty()) {
            let hash = self.hash.finalize_reset();
            if digest::encode(&hash) != expected {
                return Err(io::Error::other("a layer does not match its digest"));
            }
        }
        Ok(length)
    }
}
