//! Loads images from files: an OCI image layout (a directory or a tar), or a tar of `docker save`.
//!
//! An image is unpacked once; its sandboxes share it as the lower layer of their overlays. Formats:
//! <https://github.com/opencontainers/image-spec>, version 1.1; the older `manifest.json` of
//! <https://github.com/moby/moby/blob/v24.0.0/image/spec/v1.2.md>.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::digest;

mod base_files;
mod layer;
mod manifest;
mod settings;
mod source;
mod tree;

use manifest::Manifest;
use settings::Account;
pub(crate) use settings::Settings;
use source::Source;
pub(crate) use tree::Tree;

/// Changes when an image is unpacked in another way, so that a directory of an earlier version is not used.
const LAYOUT: u32 = 2;

/// An image can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("{0} is not an image: it is neither an OCI image layout nor a tar of `docker save`")]
    NotAnImage(PathBuf),
    #[error("the image is damaged: {0}")]
    Damaged(String),
    #[error("the file contains several images ({}); save one image to a file of its own", .0.join("; "))]
    Several(Vec<String>),
    #[error("the image is for {image}, but this host is {host}; use an image for {host}")]
    WrongArchitecture { image: String, host: String },
    #[error("failed to read or unpack the image")]
    Backend(#[from] io::Error),
}

fn damaged(what: impl Into<String>) -> ImageError {
    ImageError::Damaged(what.into())
}

/// Unpacks the image below `images`, unless that was done before. Returns the path of its root.
pub(crate) fn unpacked(image: &Path, images: &Path) -> Result<(PathBuf, Settings), ImageError> {
    let mut source = Source::open(image)?;
    let manifest =
        Manifest::read(&mut source)?.ok_or_else(|| ImageError::NotAnImage(image.into()))?;
    let key = digest::hex(format!("{LAYOUT}\n{}", manifest.identity).as_bytes(), 32);
    let root = images.join(&key);
    if !root.exists() {
        // Unpacks under a temporary name, so that an interrupted unpacking leaves no incomplete image.
        let new = images.join(format!("{key}.new"));
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        fs::create_dir_all(&new)?;
        // Whatever the umask: every user of a sandbox passes through it.
        fs::set_permissions(&new, Permissions::from_mode(0o755))?;
        unpack(&mut source, &manifest, &Tree::open(&new)?)?;
        fs::rename(&new, &root)?;
    }
    let settings = Settings::read(&Tree::open(&root)?, &manifest.config)?;
    Ok((root, settings))
}

fn unpack(source: &mut Source, manifest: &Manifest, tree: &Tree) -> Result<(), ImageError> {
    for blob in &manifest.layers {
        layer::apply(source.blob(blob)?, tree)?;
    }
    let account = Account::of_image(tree, &manifest.config)?;
    Ok(base_files::add(tree, account.as_ref(), &settings::workdir(&manifest.config))?)
}

#[cfg(test)]
mod tests;
