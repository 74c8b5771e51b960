//! Finds the manifest for this host in the index of an OCI image layout:
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md>.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{architecture, blob_document, parse, wrong_architecture};
use crate::image::source::Source;
use crate::image::{ImageError, damaged};

/// A layout refers to an index per image, which has a manifest per platform. More levels are not used.
const MAX_DEPTH: usize = 4;
/// Annotations with an image's name, the more telling one first.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
/// An annotation that BuildKit gives to manifests that are no images, such as attestations.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: Option<String>,
    pub(super) digest: String,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Clone)]
struct Platform {
    architecture: String,
    os: String,
    variant: Option<String>,
}

/// What identifies a manifest that is no image: the types of its parts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Types {
    artifact_type: Option<String>,
    config: Option<MediaType>,
    #[serde(default)]
    layers: Vec<MediaType>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaType {
    #[serde(default)]
    media_type: String,
}

/// The digest of the manifest for this host.
///
/// # Errors
/// `Several` if the index has several images, `WrongArchitecture` if none is for this host.
pub(super) fn find_manifest(source: &mut Source, index: &[u8]) -> Result<String, ImageError> {
    let mut found = Vec::new();
    let mut other = None;
    collect(source, index, None, MAX_DEPTH, &mut found, &mut other)?;
    let mut names: Vec<&String> = found.iter().map(|candidate| &candidate.name).collect();
    names.sort_unstable();
    names.dedup();
    let first = found.first();
    let same_digest = found.iter().all(|other| first.is_some_and(|f| f.digest == other.digest));
    // Manifests of one image differ in the variant of the architecture.
    let is_one_image = names.len() == 1 && found.iter().all(|candidate| candidate.has_platform);
    match (first, other) {
        (Some(first), _) if same_digest => Ok(first.digest.clone()),
        (Some(first), _) if is_one_image => {
            let plain = found.iter().find(|candidate| !candidate.has_variant);
            Ok(plain.unwrap_or(first).digest.clone())
        }
        (Some(_), _) => Err(ImageError::Several(found.iter().map(Candidate::label).collect())),
        (None, Some(architecture)) => Err(wrong_architecture(&architecture)),
        (None, None) => Err(damaged("the index has no image")),
    }
}

/// A manifest that fits this host.
struct Candidate {
    digest: String,
    /// Empty if the image has none.
    name: String,
    has_platform: bool,
    has_variant: bool,
}

impl Candidate {
    fn label(&self) -> String {
        if self.name.is_empty() { self.digest.clone() } else { self.name.clone() }
    }
}

/// Collects the manifests that fit this host; `other` becomes the architecture of one that does not.
fn collect(
    source: &mut Source,
    index: &[u8],
    name: Option<&str>,
    depth: usize,
    found: &mut Vec<Candidate>,
    other: &mut Option<String>,
) -> Result<(), ImageError> {
    let depth = depth.checked_sub(1).ok_or_else(|| damaged("the indexes are nested too deeply"))?;
    let index: Index = parse(index)?;
    for descriptor in index.manifests {
        let annotations = descriptor.annotations.clone().unwrap_or_default();
        let own_name = NAMES.iter().find_map(|key| annotations.get(*key).map(String::as_str));
        let name = own_name.or(name);
        let kind = &descriptor.media_type;
        if kind.contains("index") || kind.contains("list") {
            let nested = blob_document(source, &descriptor.digest)?;
            collect(source, &nested, name, depth, found, other)?;
            continue;
        }
        if annotations.contains_key(REFERENCE_TYPE) || descriptor.artifact_type.is_some() {
            continue;
        }
        if let Some(platform) = &descriptor.platform
            && (platform.os != "linux" || platform.architecture != architecture())
        {
            if platform.os == "linux" {
                *other = other.take().or(Some(platform.architecture.clone()));
            }
            continue;
        }
        if is_image(source, &descriptor)? {
            found.push(Candidate {
                digest: descriptor.digest.clone(),
                name: name.unwrap_or_default().to_owned(),
                has_platform: descriptor.platform.is_some(),
                has_variant: descriptor.platform.is_some_and(|found| found.variant.is_some()),
            });
        }
    }
    Ok(())
}

/// Whether the manifest is that of an image, by the types of its parts. Old ones state no types.
fn is_image(source: &mut Source, descriptor: &Descriptor) -> Result<bool, ImageError> {
    let types: Types = parse(&blob_document(source, &descriptor.digest)?)?;
    let config = types.config.map(|config| config.media_type).unwrap_or_default();
    let is_config = config.is_empty()
        || config == "application/vnd.oci.image.config.v1+json"
        || config == "application/vnd.docker.container.image.v1+json";
    let is_layer = |kind: &MediaType| !kind.media_type.contains("in-toto");
    Ok(types.artifact_type.is_none() && is_config && types.layers.iter().all(is_layer))
}
