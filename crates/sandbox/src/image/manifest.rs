//! Which layers make the image, lowest first.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::source::Source;
use super::{ImageError, damaged};

/// A file of the image, and what it must hash to where the image says so.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) name: String,
    pub(super) sha256: Option<String>,
}

#[derive(Debug)]
pub(super) struct Manifest {
    /// The same for the same content.
    pub(super) identity: String,
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
    /// `None` if the source has neither kind of manifest.
    pub(super) fn read(source: &mut Source) -> Result<Option<Self>, ImageError> {
        if let Some(text) = source.document("index.json")? {
            return Self::of_index(source, &parse(&text)?).map(Some);
        }
        let Some(text) = source.document("manifest.json")? else { return Ok(None) };
        let images: Vec<SavedImage> = parse(&text)?;
        let [image] = images.as_slice() else {
            return Err(damaged(format!("it holds {} images, not one", images.len())));
        };
        check_machine(source, &image.config)?;
        let layers = image.layers.iter();
        let layers = layers.map(|name| Blob { name: name.clone(), sha256: None }).collect();
        Ok(Some(Self { identity: String::from_utf8_lossy(&text).into_owned(), layers }))
    }

    fn of_index(source: &mut Source, index: &Index) -> Result<Self, ImageError> {
        let descriptor = choose(&index.manifests)?;
        let text = document(source, &blob(&descriptor.digest)?.name)?;
        if descriptor.media_type.contains("index") || descriptor.media_type.contains("list") {
            // The index of a layout may name another one, which tells the machines apart.
            return Self::of_index(source, &parse(&text)?);
        }
        let manifest: OciManifest = parse(&text)?;
        check_machine(source, &blob(&manifest.config.digest)?.name)?;
        let layers =
            manifest.layers.iter().map(|layer| blob(&layer.digest)).collect::<Result<_, _>>()?;
        Ok(Self { identity: descriptor.digest.clone(), layers })
    }
}

/// The manifest for this machine; the only one, if it doesn't say.
fn choose(manifests: &[Descriptor]) -> Result<&Descriptor, ImageError> {
    let ours = |platform: &Platform| platform.os == "linux" && platform.architecture == machine();
    let fits = |found: &&Descriptor| found.platform.as_ref().is_none_or(ours);
    match (manifests.iter().find(fits), manifests.first().and_then(|m| m.platform.as_ref())) {
        (Some(found), _) => Ok(found),
        (None, Some(other)) => Err(other_machine(&other.architecture)),
        (None, None) => Err(damaged("its index is empty")),
    }
}

fn check_machine(source: &mut Source, config: &str) -> Result<(), ImageError> {
    let config: ImageConfig = parse(&document(source, config)?)?;
    match config.architecture {
        Some(other) if other != machine() => Err(other_machine(&other)),
        _ => Ok(()),
    }
}

fn other_machine(image: &str) -> ImageError {
    ImageError::OtherMachine { image: image.to_owned(), host: machine().to_owned() }
}

/// This machine in the words of images, which are Go's.
fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn blob(digest: &str) -> Result<Blob, ImageError> {
    let hex =
        digest.strip_prefix("sha256:").filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let hex = hex.ok_or_else(|| damaged(format!("{digest} is no sha256 digest")))?;
    Ok(Blob { name: format!("blobs/sha256/{hex}"), sha256: Some(hex.to_owned()) })
}

fn document(source: &mut Source, name: &str) -> Result<Vec<u8>, ImageError> {
    source.document(name)?.ok_or_else(|| damaged(format!("it lacks {name}")))
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))
}
