//! The files of an image, by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::manifest::Blob;
use super::{ImageError, damaged};

const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// Of a manifest or a configuration; real ones have a few KiB.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;

#[derive(Debug)]
pub(super) enum Source {
    Directory(PathBuf),
    /// Where in the file each member's content begins, and its length.
    Tar {
        file: File,
        members: HashMap<PathBuf, (u64, u64)>,
    },
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, ImageError> {
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let mut file = File::open(path)?;
        let mut magic = [0; 2];
        if file.read(&mut magic)? == 2 && magic == GZIP {
            file = inflated(file)?;
        }
        file.rewind()?;
        let no_image = |_| ImageError::NoImage(path.to_owned());
        let members = members(&file).map_err(no_image)?;
        Ok(Self::Tar { file, members })
    }

    /// A small file in full. `None` if there is none of this name.
    pub(super) fn document(&mut self, name: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let Some(reader) = self.reader(name)? else { return Ok(None) };
        let mut text = Vec::new();
        reader.take(MAX_DOCUMENT_BYTES).read_to_end(&mut text)?;
        Ok(Some(text))
    }

    /// A layer's tar, whatever it is compressed with. One that is not what its digest says is
    /// refused when its end is read.
    pub(super) fn blob(&mut self, blob: &Blob) -> Result<Box<dyn Read + '_>, ImageError> {
        let missing = || damaged(format!("it lacks {}", blob.name));
        let reader = self.reader(&blob.name)?.ok_or_else(missing)?;
        let checked = Checked { reader, hash: Sha256::new(), expected: blob.sha256.clone() };
        let mut reader = BufReader::with_capacity(1 << 16, checked);
        let start = io::BufRead::fill_buf(&mut reader)?;
        if start.starts_with(&GZIP) {
            Ok(Box::new(MultiGzDecoder::new(reader)))
        } else if start.starts_with(&ZSTD) {
            let decoder = ruzstd::decoding::StreamingDecoder::new(reader);
            Ok(Box::new(decoder.map_err(|error| damaged(error.to_string()))?))
        } else {
            Ok(Box::new(reader))
        }
    }

    fn reader(&mut self, name: &str) -> Result<Option<Box<dyn Read + '_>>, ImageError> {
        let path = Path::new(name);
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(damaged("it names a file outside of itself"));
        }
        match self {
            Self::Directory(dir) => match File::open(dir.join(path)) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Tar { file, members } => {
                let Some((start, length)) = members.get(&plain(path)).copied() else {
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
        let name = plain(&entry.path()?);
        match entry.link_name()? {
            // `docker save` links layers that are the same.
            Some(target) => {
                links.push((name.clone(), plain(&name.with_file_name("").join(target))))
            }
            None => drop(members.insert(name, (entry.raw_file_position(), entry.size()))),
        }
    }
    for (name, target) in links {
        if let Some(place) = members.get(&target).copied() {
            members.insert(name, place);
        }
    }
    Ok(members)
}

/// Without `.`, and with `..` taken back.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}

/// A compressed archive can't be read out of order.
fn inflated(mut file: File) -> io::Result<File> {
    file.rewind()?;
    let mut plain = tempfile()?;
    io::copy(&mut MultiGzDecoder::new(BufReader::new(file)), &mut plain)?;
    Ok(plain)
}

/// A file without a name, gone when it is closed.
fn tempfile() -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)?;
    Ok(file.into())
}

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
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            if hash != expected {
                return Err(io::Error::other("a layer is not what its digest says"));
            }
        }
        Ok(length)
    }
}
