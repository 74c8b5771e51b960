//! Whiteouts: entries of a layer that hide entries of the layers below it.
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts>

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use crate::image::tree::{Tree, TreeEntry};

const PREFIX: &[u8] = b".wh.";
/// Names with this prefix belong to AUFS itself; only the opaque marker has a meaning in images.
const META_PREFIX: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

#[derive(Debug)]
pub(super) enum Whiteout {
    /// Hides the entry with this name beside it.
    One(OsString),
    /// Hides all entries of its directory.
    All,
    /// A file of AUFS.
    Nothing,
}

impl Whiteout {
    /// # Errors
    /// `InvalidInput` if the hidden name is no name of a file.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        let is_meta = |part: Component<'_>| part.as_os_str().as_bytes().starts_with(META_PREFIX);
        let name = path.file_name().unwrap_or_default().as_bytes();
        if name == OPAQUE {
            return Ok(Some(Self::All));
        }
        if path.components().any(is_meta) {
            return Ok(Some(Self::Nothing));
        }
        match name.strip_prefix(PREFIX) {
            None => Ok(None),
            Some(b"" | b"." | b"..") => Err(io::ErrorKind::InvalidInput.into()),
            Some(hidden) => Ok(Some(Self::One(OsStr::from_bytes(hidden).to_owned()))),
        }
    }
}

/// The entries that a layer has made: the inode of each one's directory, and its name.
#[derive(Debug, Default)]
pub(super) struct Made(HashSet<(u64, OsString)>);

impl Made {
    pub(super) fn add(&mut self, entry: &TreeEntry) -> io::Result<()> {
        self.0.insert(entry.identity()?);
        Ok(())
    }

    /// Removes what the whiteout hides. Entries of its own layer stay, in whatever order they appear.
    pub(super) fn hide(&self, tree: &Tree, path: &Path, whiteout: &Whiteout) -> io::Result<()> {
        let Some(marker) = tree.existing(path)? else { return Ok(()) };
        match whiteout {
            Whiteout::Nothing => Ok(()),
            Whiteout::One(name) => self.remove_lower(&marker.beside(name)?),
            Whiteout::All => {
                let names = marker.siblings()?;
                names.iter().try_for_each(|name| self.remove_lower(&marker.beside(name)?))
            }
        }
    }

    /// Removes an entry unless the layer has made it, or something in it.
    fn remove_lower(&self, entry: &TreeEntry) -> io::Result<()> {
        let is_made = self.0.contains(&entry.identity()?);
        if !entry.is_directory() {
            return if is_made { Ok(()) } else { entry.clear() };
        }
        for child in entry.children()? {
            self.remove_lower(&child)?;
        }
        if !is_made && entry.children()?.is_empty() { entry.clear() } else { Ok(()) }
    }
}
