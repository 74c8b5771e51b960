//! Reads which layers an image has, and how its commands run.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::source::Source;
use super::{ImageError, damaged};
use crate::digest;

mod index;

use index::Descriptor;

/// A layer's file in the image, and its expected digest if the image states one.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) name: String,
    pub(super) sha256: Option<String>,
}

#[derive(Debug)]
pub(super) struct Manifest {
    /// A text that is equal for equal images.
    pub(super) identity: String,
    /// The lowest first.
    pub(super) layers: Vec<Blob>,
    pub(super) config: RunConfig,
}

/// How commands of the image run: the object `config` of
/// <https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md>. Go writes null for an empty list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RunConfig {
    pub(super) user: Option<String>,
    pub(super) env: Option<Vec<String>>,
    pub(super) working_dir: Option<String>,
}

#[derive(Deserialize)]
struct OciManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl SavedImage {
    fn name(&self) -> String {
        let tags = self.repo_tags.as_deref().unwrap_or_default();
        if tags.is_empty() { self.config.clone() } else { tags.join(", ") }
    }
}

#[derive(Deserialize)]
struct ImageConfig {
    architecture: Option<String>,
    config: Option<RunConfig>,
}

impl Manifest {
    /// Reads the manifest; `None` if the source has neither kind of manifest.
    pub(super) fn read(source: &mut Source) -> Result<Option<Self>, ImageError> {
        if let Some(text) = source.document("index.json")? {
            let digest = index::find_manifest(source, &text)?;
            return Self::of_oci(source, &digest).map(Some);
        }
        let Some(text) = source.document("manifest.json")? else { return Ok(None) };
        let images: Vec<SavedImage> = parse(&text)?;
        let image = images.first().ok_or_else(|| damaged("the archive contains no image"))?;
        let is_same =
            |other: &SavedImage| (&other.config, &other.layers) == (&image.config, &image.layers);
        if !images.iter().all(is_same) {
            return Err(ImageError::Several(images.iter().map(SavedImage::name).collect()));
        }
        let document = document(source, &image.config)?;
        let config = run_config(&document)?;
        let layers = image.layers.iter();
        let layers = layers.map(|name| Blob { name: name.clone(), sha256: None }).collect();
        // The configuration contains the digests of the layers.
        let identity = String::from_utf8_lossy(&[text, document].concat()).into_owned();
        Ok(Some(Self { identity, layers, config }))
    }

    fn of_oci(source: &mut Source, digest: &str) -> Result<Self, ImageError> {
        let manifest: OciManifest = parse(&blob_document(source, digest)?)?;
        let config = run_config(&blob_document(source, &manifest.config.digest)?)?;
        let layers = manifest.layers.iter();
        let layers = layers.map(|layer| blob(&layer.digest)).collect::<Result<_, _>>()?;
        Ok(Self { identity: digest.to_owned(), layers, config })
    }
}

fn run_config(document: &[u8]) -> Result<RunConfig, ImageError> {
    let config: ImageConfig = parse(document)?;
    match config.architecture {
        Some(other) if other != architecture() => Err(wrong_architecture(&other)),
        _ => Ok(config.config.unwrap_or_default()),
    }
}

fn wrong_architecture(image: &str) -> ImageError {
    ImageError::WrongArchitecture { image: image.to_owned(), host: architecture().to_owned() }
}

/// This host's architecture, by the name that Go and images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn blob(digest: &str) -> Result<Blob, ImageError> {
    let hex =
        digest.strip_prefix("sha256:").filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let hex = hex.ok_or_else(|| damaged(format!("{digest} is not a sha256 digest")))?;
    Ok(Blob { name: format!("blobs/sha256/{hex}"), sha256: Some(hex.to_owned()) })
}

/// The content of a small blob.
fn blob_document(source: &mut Source, digest: &str) -> Result<Vec<u8>, ImageError> {
    let blob = blob(digest)?;
    let text = document(source, &blob.name)?;
    if blob.sha256 != Some(digest::hex(&text, 64)) {
        return Err(damaged(format!("the file {} does not match its digest", blob.name)));
    }
    Ok(text)
}

fn document(source: &mut Source, name: &str) -> Result<Vec<u8>, ImageError> {
    source.document(name)?.ok_or_else(|| damaged(format!("the file {name} is missing")))
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))
}
