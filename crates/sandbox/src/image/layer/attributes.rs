//! The attributes of an entry: those of its header, and those of its PAX records, which take precedence.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use tar::Entry;

/// Mode bits that are kept. setuid and setgid are removed: no program in a sandbox may gain privileges.
const MODE_MASK: u32 = 0o1777;
/// The prefix of records that star and Go write for extended attributes.
const XATTR: &str = "SCHILY.xattr.";

#[derive(Debug)]
pub(super) struct Attributes {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    /// Seconds since the Unix epoch: compiled files (Python's .pyc) contain that of their source.
    pub(super) mtime: i64,
    /// Only attributes of users; others may give privileges, or change how overlayfs reads a layer.
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
    /// The path of a sparse file in GNU's PAX format 1.0, whose entry has another.
    pub(super) sparse_name: Option<PathBuf>,
    /// The length of that file with its holes.
    pub(super) sparse_bytes: u64,
}

impl Attributes {
    pub(super) fn read(entry: &mut Entry<'_, impl Read>) -> io::Result<Self> {
        let header = entry.header();
        let mut attributes = Self {
            uid: small(header.uid()?)?,
            gid: small(header.gid()?)?,
            mode: header.mode()? & MODE_MASK,
            // A time before 1970 has no meaning here.
            mtime: header.mtime().map_or(0, |time| i64::try_from(time).unwrap_or(0)),
            xattrs: Vec::new(),
            sparse_name: None,
            sparse_bytes: 0,
        };
        let Some(records) = entry.pax_extensions()? else { return Ok(attributes) };
        for record in records {
            let record = record?;
            // Names in other encodings belong to no attribute that is used here.
            if let Ok(key) = record.key() {
                attributes.apply(key, record.value_bytes())?;
            }
        }
        Ok(attributes)
    }

    fn apply(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(value);
        match key {
            "mtime" => {
                let seconds = text.split('.').next().unwrap_or_default();
                self.mtime = seconds.parse().map_or(0, |time: i64| time.max(0));
            }
            "GNU.sparse.major" if text != "1" => return Err(old_sparse()),
            "GNU.sparse.map" | "GNU.sparse.offset" => return Err(old_sparse()),
            "GNU.sparse.name" => self.sparse_name = Some(OsStr::from_bytes(value).into()),
            "GNU.sparse.realsize" => {
                self.sparse_bytes = text.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            }
            _ => {
                let name = key
                    .strip_prefix(XATTR)
                    .filter(|name| name.starts_with("user.") && !name.starts_with("user.overlay."));
                self.xattrs.extend(name.map(|name| (name.to_owned(), value.to_vec())));
            }
        }
        Ok(())
    }
}

fn old_sparse() -> io::Error {
    io::Error::other("sparse files in GNU's PAX formats before 1.0 are not supported")
}

fn small(id: u64) -> io::Result<u32> {
    u32::try_from(id).map_err(|_| io::ErrorKind::InvalidData.into())
}
