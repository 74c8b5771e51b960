//! Which image of an archive is taken.

use super::*;

#[test]
fn an_image_for_another_architecture_is_rejected() {
    let image = layout(&layer(&[]), "s390x");
    let images = tempfile::tempdir().unwrap();
    let error = unpacked(image.path(), images.path()).unwrap_err();
    let message =
        format!("the image is for s390x, but this host is {0}; use an image for {0}", here());
    assert_eq!(error.to_string(), message);
}

#[test]
fn a_file_that_is_not_an_image_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let images = tempfile::tempdir().unwrap();
    let check = |path: &Path| {
        let result = unpacked(path, images.path());
        assert!(matches!(result, Err(ImageError::NotAnImage(_))), "{result:?}");
    };
    check(dir.path());
    let file = dir.path().join("file");
    for content in
        [b"".as_slice(), b"hello, I am a text", &layer(&[File("hello", "1")]), &gzip(b"?")]
    {
        fs::write(&file, content).unwrap();
        check(&file);
    }
    let missing = unpacked(&dir.path().join("missing"), images.path());
    assert!(matches!(missing, Err(ImageError::Backend(_))), "{missing:?}");
}

#[test]
fn a_damaged_image_is_a_different_error() {
    let images = tempfile::tempdir().unwrap();
    let bad: [&[Item]; 5] = [
        &[File("manifest.json", "{")],
        &[File("manifest.json", "[]")],
        &[File("manifest.json", r#"[{"Config":"c","Layers":[]}]"#)],
        &[File("manifest.json", r#"[{"Config":"../../etc/passwd","Layers":[]}]"#)],
        &[File("index.json", r#"{"manifests":[{"digest":"md5:00"}]}"#)],
    ];
    for items in bad {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&layer(items)).unwrap();
        let result = unpacked(file.path(), images.path());
        assert!(matches!(result, Err(ImageError::Damaged(_))), "{result:?}");
    }
}

#[test]
fn a_docker_save_archive_is_unpacked_compressed_or_not() {
    let inner: &'static str = String::from_utf8(layer(&[File("hello", "saved")])).unwrap().leak();
    let manifest = r#"[{"Config":"config.json","RepoTags":["x"],"Layers":["1/layer.tar"]}]"#;
    let saved = layer(&[
        File("manifest.json", manifest),
        File("config.json", "{}"),
        Dir("1"),
        File("1/layer.tar", inner),
    ]);
    for content in [gzip(&saved), frames(&saved), saved] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&content).unwrap();
        let images = tempfile::tempdir().unwrap();
        let (root, _) = unpacked(file.path(), images.path()).unwrap();
        assert_eq!(fs::read_to_string(root.join("hello")).unwrap(), "saved");
    }
}

/// A blob's descriptor; its content is written to the layout.
fn blob(layout: &Path, media_type: &str, content: &[u8]) -> serde_json::Value {
    let hash = digest::hex(content, 64);
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs::write(layout.join("blobs/sha256").join(&hash), content).unwrap();
    serde_json::json!({ "mediaType": media_type, "digest": format!("sha256:{hash}"), "size": content.len() })
}

/// The descriptor of an image whose only file is named `name`.
fn image(layout: &Path, name: &'static str) -> serde_json::Value {
    let config = serde_json::json!({ "architecture": here(), "os": "linux" }).to_string();
    let config = blob(layout, "application/vnd.oci.image.config.v1+json", config.as_bytes());
    let tar = layer(&[File(name, "1")]);
    let tar = blob(layout, "application/vnd.oci.image.layer.v1.tar", &tar);
    let manifest =
        serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [tar] }).to_string();
    blob(layout, "application/vnd.oci.image.manifest.v1+json", manifest.as_bytes())
}

/// What BuildKit adds to an image: a manifest whose layer is a statement about the image.
fn attestation(layout: &Path) -> serde_json::Value {
    let config =
        blob(layout, "application/vnd.oci.image.config.v1+json", b"{\"architecture\":\"unknown\"}");
    let statement = blob(layout, "application/vnd.in-toto+json", b"{}");
    let manifest = serde_json::json!({ "config": config, "layers": [statement] }).to_string();
    blob(layout, "application/vnd.oci.image.manifest.v1+json", manifest.as_bytes())
}

fn platform(mut descriptor: serde_json::Value, architecture: &str, os: &str) -> serde_json::Value {
    descriptor["platform"] = serde_json::json!({ "architecture": architecture, "os": os });
    descriptor
}

fn named(mut descriptor: serde_json::Value, name: &str) -> serde_json::Value {
    descriptor["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": name });
    descriptor
}

fn unpack_index(layout: &Path, manifests: &[serde_json::Value]) -> Result<PathBuf, ImageError> {
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": manifests });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    let images = tempfile::tempdir().unwrap().keep();
    let done = unpacked(layout, &images).map(|(root, _)| root);
    done.inspect_err(|_| fs::remove_dir_all(&images).unwrap())
}

fn assert_takes(layout: &Path, manifests: &[serde_json::Value], file: &str) {
    let root = unpack_index(layout, manifests).unwrap();
    assert!(root.join(file).exists(), "{manifests:?}");
    fs::remove_dir_all(root.parent().unwrap()).unwrap();
}

#[test]
fn attestations_and_other_platforms_are_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let other = if here() == "amd64" { "arm64" } else { "amd64" };
    let attestation = attestation(at);
    assert_takes(at, &[attestation.clone(), image(at, "mine")], "mine");
    assert_takes(
        at,
        &[platform(attestation.clone(), "unknown", "unknown"), image(at, "mine")],
        "mine",
    );
    let mine = platform(image(at, "mine"), here(), "linux");
    let theirs = platform(image(at, "theirs"), other, "linux");
    let windows = platform(image(at, "windows"), here(), "windows");
    assert_takes(at, &[theirs.clone(), windows, attestation, mine], "mine");
    let refused = unpack_index(at, &[theirs]);
    assert!(
        matches!(&refused, Err(ImageError::WrongArchitecture { image, .. }) if image == other),
        "{refused:?}"
    );
}

#[test]
fn an_index_in_an_index_is_followed_and_of_variants_the_plain_one_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let mut variant = platform(image(at, "variant"), here(), "linux");
    variant["platform"]["variant"] = "v9".into();
    let plain = platform(image(at, "plain"), here(), "linux");
    let nested = serde_json::json!({ "manifests": [variant, plain] }).to_string();
    let nested = blob(at, "application/vnd.oci.image.index.v1+json", nested.as_bytes());
    assert_takes(at, &[nested], "plain");
}

#[test]
fn several_images_are_an_error_that_lists_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let two = [named(image(at, "one"), "app:1"), named(image(at, "two"), "app:2")];
    let refused = unpack_index(at, &two).unwrap_err().to_string();
    assert!(refused.contains("app:1; app:2"), "{refused}");
    // Two names of one image are one image.
    assert_takes(
        at,
        &[named(image(at, "one"), "app:1"), named(image(at, "one"), "app:latest")],
        "one",
    );
}

#[test]
fn several_images_of_docker_save_are_an_error_that_lists_their_names() {
    let manifest = r#"[{"Config":"a","RepoTags":["app:1","app:2"],"Layers":["l"]},{"Config":"b","RepoTags":null,"Layers":["l"]}]"#;
    let saved =
        layer(&[File("manifest.json", manifest), File("a", "{}"), File("b", "{}"), File("l", "")]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&saved).unwrap();
    let images = tempfile::tempdir().unwrap();
    let refused = unpacked(file.path(), images.path()).unwrap_err().to_string();
    assert!(refused.contains("app:1, app:2; b"), "{refused}");
}

#[test]
fn a_manifest_that_does_not_match_its_digest_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let mine = image(dir.path(), "mine");
    let hash = mine["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    fs::write(dir.path().join("blobs/sha256").join(hash), "{}").unwrap();
    let refused = unpack_index(dir.path(), &[mine]);
    assert!(matches!(refused, Err(ImageError::Damaged(_))), "{refused:?}");
}
