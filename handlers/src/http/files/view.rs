//! Files as the API shows them.

use domain::{
    Timestamp,
    file::{Attributes, FileKind, FilePath, ListedFile},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::Serialize;

/// What stays readable in an encoded path.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The type of a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
enum FileType {
    File,
    Directory,
    Symlink,
    /// A pipe, a socket or a device.
    Other,
}

/// An entry of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "File"))]
pub(crate) struct FileView {
    /// From the listed directory. Bytes that are not UTF-8 are shown as U+FFFD.
    path: String,
    /// The path percent-encoded, as for a query; only if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoded_path: Option<String>,
    #[serde(rename = "type")]
    kind: FileType,
    /// Bytes.
    size: u64,
    /// Permission bits in octal.
    mode: String,
    modified_at: Timestamp,
    /// The target of a symbolic link.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

/// The content of a directory.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FileList"))]
pub(crate) struct ListView {
    /// Level by level, each directory sorted by names.
    pub(super) entries: Vec<FileView>,
    /// There are more entries than the limit.
    pub(super) truncated: bool,
}

/// A file that was written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "StoredFile"))]
pub(crate) struct StoredFileView {
    /// Bytes.
    size: u64,
    /// Permission bits in octal.
    mode: String,
    modified_at: Timestamp,
    /// As the header `ETag` of a download.
    etag: String,
}

/// An archive that was unpacked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Unpacked"))]
pub(crate) struct ArchiveView {
    /// Number of entries of the archive.
    pub(super) entries: u64,
}

impl FileView {
    pub(super) fn of(file: &ListedFile) -> Self {
        let (path, encoded_path) = readable(&file.path);
        let Attributes { kind, size, mode, modified_at, .. } = file.attributes.clone();
        Self {
            path,
            encoded_path,
            kind: match kind {
                FileKind::File => FileType::File,
                FileKind::Directory => FileType::Directory,
                FileKind::Symlink => FileType::Symlink,
                FileKind::Other => FileType::Other,
            },
            size,
            mode: octal(mode),
            modified_at,
            target: file.target.as_ref().map(|target| readable(target).0),
        }
    }
}

impl StoredFileView {
    pub(super) fn of(found: &Attributes) -> Self {
        let Attributes { size, mode, modified_at, .. } = *found;
        Self { size, mode: octal(mode), modified_at, etag: etag(found) }
    }
}

/// The permission bits as chmod(1) takes them.
pub(super) fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

/// The header `ETag`.
pub(super) fn etag(found: &Attributes) -> String {
    format!("\"{}\"", found.version)
}

fn readable(path: &FilePath) -> (String, Option<String>) {
    match str::from_utf8(&path.0) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => {
            let encoded = percent_encode(&path.0, ENCODED).to_string();
            (String::from_utf8_lossy(&path.0).into_owned(), Some(encoded))
        }
    }
}
