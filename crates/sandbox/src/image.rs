//! Images from files: an OCI layout, as a directory or a tar, or what `docker save` writes.
//!
//! An image is unpacked once; its sandboxes share it below an overlay of their own. Formats:
//! <https://github.com/opencontainers/image-spec>, version 1.1; the older `manifest.json` of
//! <https://github.com/moby/moby/blob/v24.0.0/image/spec/v1.2.md>.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

mod furnish;
mod layer;
mod manifest;
mod source;
mod tree;

pub(crate) use furnish::{Resident, find_resident};
use manifest::Manifest;
use source::Source;
pub(crate) use tree::Tree;

/// Why an image can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("{0} is no image: it is neither an OCI layout nor a tar of `docker save`")]
    NoImage(PathBuf),
    #[error("the image is damaged: {0}")]
    Damaged(String),
    #[error("the image is for {image}, this host is {host}")]
    OtherMachine { image: String, host: String },
    #[error("the image can't be read or unpacked")]
    Backend(#[from] io::Error),
}

fn damaged(what: impl Into<String>) -> ImageError {
    ImageError::Damaged(what.into())
}

/// Unpacks the image below `images`, unless that was done before. Answers where its root is.
pub(crate) fn unpacked(image: &Path, images: &Path) -> Result<PathBuf, ImageError> {
    let mut source = Source::open(image)?;
    let manifest = Manifest::read(&mut source)?.ok_or_else(|| ImageError::NoImage(image.into()))?;
    let key = Sha256::digest(manifest.identity.as_bytes());
    let key: String = key.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let root = images.join(&key);
    if root.exists() {
        return Ok(root);
    }
    // Under another name until it is whole.
    let new = images.join(format!("{key}.new"));
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    fs::create_dir_all(&new)?;
    let tree = Tree::open(&new)?;
    for blob in &manifest.layers {
        layer::apply(source.blob(blob)?, &tree)?;
    }
    furnish::furnish(&tree)?;
    fs::rename(&new, &root)?;
    Ok(root)
}

#[cfg(test)]
mod tests;
