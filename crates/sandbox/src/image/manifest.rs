//! Reads which layers an image has.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::source::Source;
use super::{ImageError, damaged};

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
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Deserialize)]
struct OciManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct ImageConfig {
    architecture: Option<String>,
}

impl Manifest {
    /// Reads the manifest; `None` if the source has neither kind of manifest.
    pub(super) fn read(source: &mut Source) -> Result<Option<Self>, ImageError> {
        if let Some(text) = source.document("index.json")? {
            return Self::of_index(source, &parse(&text)?).map(Some);
        }
        let Some(text) = source.document("manifest.json")? else { return Ok(None) };
        let images: Vec<SavedImage> = parse(&text)?;
        let [image] = images.as_slice() else {
            return Err(damaged(format!(
                "the archive contains {} images, expected one",
                images.len()
            )));
        };
        check_architecture(source, &image.config)?;
        let layers = image.layers.iter();
        let layers = layers.map(|name| Blob { name: name.clone(), sha256: None }).collect();
        Ok(Some(Self { identity: String::from_utf8_lossy(&text).into_owned(), layers }))
    }

    fn of_index(source: &mut Source, index: &Index) -> Result<Self, ImageError> {
        let descriptor = choose(&index.manifests)?;
        let text = document(source, &blob(&descriptor.digest)?.name)?;
        if descriptor.media_type.contains("index") || descriptor.media_type.contains("list") {
            // The index of a layout may refer to an index with one manifest per platform.
            return Self::of_index(source, &parse(&text)?);
        }
        let manifest: OciManifest = parse(&text)?;
        check_architecture(source, &blob(&manifest.config.digest)?.name)?;
        let layers =
            manifest.layers.iter().map(|layer| blob(&layer.digest)).collect::<Result<_, _>>()?;
        Ok(Self { identity: descriptor.digest.clone(), layers })
    }
}

/// The manifest for this host's architecture, or the first without a platform.
fn choose(manifests: &[Descriptor]) -> Result<&Descriptor, ImageError> {
    let matches =
        |platform: &Platform| platform.os == "linux" && platform.architecture == architecture();
    let fits = |found: &&Descriptor| found.platform.as_ref().is_none_or(matches);
    match (manifests.iter().find(fits), manifests.first().and_then(|m| m.platform.as_ref())) {
        (Some(found), _) => Ok(found),
        (None, Some(other)) => Err(wrong_architecture(&other.architecture)),
        (None, None) => Err(damaged("the index has no manifest")),
    }
}

fn check_architecture(source: &mut Source, config: &str) -> Result<(), ImageError> {
    let config: ImageConfig = parse(&document(source, config)?)?;
    match config.architecture {
        Some(other) if other != architecture() => Err(wrong_architecture(&other)),
        _ => Ok(()),
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

fn document(source: &mut Source, name: &str) -> Result<Vec<u8>, ImageError> {
    source.document(name)?.ok_or_else(|| damaged(format!("the file {name} is missing")))
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))
}
