use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::*;

/// An entry of a layer.
enum Item {
    Dir(&'static str),
    File(&'static str, &'static str),
    Link(&'static str, &'static str),
    Hard(&'static str, &'static str),
    Device(&'static str),
}
use Item::{Device, Dir, File, Hard, Link};

fn header(kind: EntryType, path: &str, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size.try_into().unwrap());
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o4755 });
    header.set_uid(rustix::process::geteuid().as_raw().into());
    header.set_gid(rustix::process::getegid().as_raw().into());
    header.set_mtime(1_000_000_000);
    // Written into the raw header, because the tar crate rejects paths that an attacker would use.
    let name = &mut header.as_old_mut().name;
    name[..path.len()].copy_from_slice(path.as_bytes());
    header
}

fn layer(items: &[Item]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for item in items {
        let (mut header, content) = match item {
            Dir(path) => (header(EntryType::Directory, path, 0), ""),
            File(path, content) => (header(EntryType::Regular, path, content.len()), *content),
            Link(path, target) | Hard(path, target) => {
                let hard = matches!(item, Hard(..));
                let kind = if hard { EntryType::Link } else { EntryType::Symlink };
                let mut header = header(kind, path, 0);
                header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
                (header, "")
            }
            Device(path) => (header(EntryType::Block, path, 0), ""),
        };
        header.set_cksum();
        tar.append(&header, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Applies layers to an empty directory.
fn apply(layers: &[&[Item]]) -> (tempfile::TempDir, Result<(), ImageError>) {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let done = layers.iter().try_for_each(|items| {
        let tar = layer(items);
        layer::apply(Box::new(tar.as_slice()), &tree)
    });
    (dir, done)
}

fn text(dir: &tempfile::TempDir, path: &str) -> String {
    fs::read_to_string(dir.path().join(path)).unwrap()
}

#[test]
fn layers_add_replace_and_hide() {
    let (dir, done) = apply(&[
        &[Dir("a"), File("a/kept", "1"), File("a/hidden", "1"), Dir("b"), File("b/old", "1")],
        &[
            File("a/kept", "2"),
            File("a/.wh.hidden", ""),
            File("b/new", "2"),
            File("b/.wh..wh..opq", ""),
        ],
    ]);
    done.unwrap();
    assert_eq!(text(&dir, "a/kept"), "2");
    assert!(!dir.path().join("a/hidden").exists());
    assert!(!dir.path().join("b/old").exists());
    assert_eq!(text(&dir, "b/new"), "2");
}

#[test]
fn a_file_replaces_a_directory_and_the_reverse() {
    let (dir, done) = apply(&[
        &[Dir("x"), File("x/y", ""), File("z", "")],
        &[File("x", "file"), Dir("z"), File("z/in", "dir")],
    ]);
    done.unwrap();
    assert_eq!(text(&dir, "x"), "file");
    assert_eq!(text(&dir, "z/in"), "dir");
}

#[test]
fn a_link_out_of_the_image_stops_at_its_root() {
    let outside = tempfile::tempdir().unwrap();
    let target: &'static str = outside.path().to_str().unwrap().to_owned().leak();
    let (dir, done) = apply(&[
        &[Dir("tmp"), Link("out", target), Link("up", "../../../../../tmp")],
        &[File("out/file", "caught"), File("up/file", "caught")],
    ]);
    done.unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // A link whose target does not exist in the image is replaced by a directory.
    assert_eq!(text(&dir, "out/file"), "caught");
    assert_eq!(text(&dir, "tmp/file"), "caught");
}

#[test]
fn a_layer_may_write_through_a_link_inside_the_image() {
    let (dir, done) =
        apply(&[&[Dir("usr"), Dir("usr/lib"), Link("lib", "usr/lib")], &[File("lib/a", "1")]]);
    done.unwrap();
    assert_eq!(text(&dir, "usr/lib/a"), "1");
}

#[test]
fn a_path_with_dot_dot_is_rejected() {
    for path in ["../evil", "a/../../evil", "/../evil"] {
        let (_dir, done) = apply(&[&[Dir("a"), File(path, "evil")]]);
        assert!(matches!(done, Err(ImageError::Damaged(_))), "{path}: {done:?}");
    }
}

#[test]
fn a_hard_link_stays_inside_the_image() {
    let (dir, done) = apply(&[&[File("a", "1"), Hard("b", "/a")]]);
    done.unwrap();
    assert_eq!(text(&dir, "b"), "1");
    let (_dir, done) = apply(&[&[Hard("shadow", "/etc/shadow")]]);
    assert!(matches!(done, Err(ImageError::Damaged(_))), "{done:?}");
}

#[test]
fn devices_are_skipped_and_setuid_bits_removed() {
    let (dir, done) = apply(&[&[Device("sda"), File("su", "1")]]);
    done.unwrap();
    assert!(!dir.path().join("sda").exists());
    let found = fs::metadata(dir.path().join("su")).unwrap();
    assert_eq!(found.permissions().mode() & 0o7777, 0o755);
    assert_eq!(found.mtime(), 1_000_000_000);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An OCI layout of one layer, on disk.
fn layout(layer: &[u8], architecture: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
    let blob = |content: &[u8]| {
        let hash: String = digest::hex(content, 64);
        fs::write(dir.path().join("blobs/sha256").join(&hash), content).unwrap();
        format!("sha256:{hash}")
    };
    let config = blob(serde_json::json!({ "architecture": architecture }).to_string().as_bytes());
    let layer = blob(layer);
    let manifest =
        serde_json::json!({ "config": { "digest": config }, "layers": [{ "digest": layer }] });
    let manifest = blob(manifest.to_string().as_bytes());
    let index = serde_json::json!({ "manifests": [{ "digest": manifest }] });
    fs::write(dir.path().join("index.json"), index.to_string()).unwrap();
    dir
}

fn here() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

#[test]
fn a_layout_is_unpacked_once_and_gets_base_files() {
    for layer in [layer(&[File("hello", "1")]), gzip(&layer(&[File("hello", "1")]))] {
        let images = tempfile::tempdir().unwrap();
        let image = layout(&layer, here());
        let root = unpacked(image.path(), images.path()).unwrap();
        assert_eq!(fs::read_to_string(root.join("hello")).unwrap(), "1");
        assert!(root.join("home/shelluser").is_dir() && root.join("proc").is_dir());
        let user = find_shell_user(&Tree::open(&root).unwrap()).unwrap().unwrap();
        assert_eq!((user.uid, user.home), (1000, "/home/shelluser".into()));
        fs::write(root.join("mark"), "").unwrap();
        assert_eq!(unpacked(image.path(), images.path()).unwrap(), root);
        assert!(root.join("mark").exists(), "the image was unpacked twice");
    }
}

#[test]
fn a_user_of_the_image_is_kept() {
    let passwd = "root:x:0:0::/root:/bin/sh\nshelluser:x:1234:1235::/work:/bin/bash\n";
    let image = layout(&layer(&[Dir("etc"), File("etc/passwd", passwd)]), here());
    let images = tempfile::tempdir().unwrap();
    let root = unpacked(image.path(), images.path()).unwrap();
    let user = find_shell_user(&Tree::open(&root).unwrap()).unwrap().unwrap();
    assert_eq!(user, ShellUser { uid: 1234, gid: 1235, home: "/work".into() });
}

#[test]
fn an_id_in_use_is_not_assigned_again() {
    let passwd = "root:x:0:0::/root:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash";
    let image = layout(&layer(&[Dir("etc"), File("etc/passwd", passwd)]), here());
    let images = tempfile::tempdir().unwrap();
    let root = unpacked(image.path(), images.path()).unwrap();
    let user = find_shell_user(&Tree::open(&root).unwrap()).unwrap().unwrap();
    assert_eq!(user.uid, 1001);
}

#[test]
fn a_layer_that_does_not_match_its_digest_is_rejected() {
    let image = layout(&layer(&[File("hello", "1")]), here());
    let largest = fs::read_dir(image.path().join("blobs/sha256")).unwrap();
    let largest = largest.map(|e| e.unwrap().path()).max_by_key(|p| p.metadata().unwrap().size());
    let mut bytes = Vec::new();
    fs::File::open(largest.as_ref().unwrap()).unwrap().read_to_end(&mut bytes).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(largest.unwrap(), bytes).unwrap();
    let images = tempfile::tempdir().unwrap();
    let result = unpacked(image.path(), images.path());
    assert!(matches!(result, Err(ImageError::Damaged(_))), "{result:?}");
}

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
    for content in [gzip(&saved), saved] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&content).unwrap();
        let images = tempfile::tempdir().unwrap();
        let root = unpacked(file.path(), images.path()).unwrap();
        assert_eq!(fs::read_to_string(root.join("hello")).unwrap(), "saved");
    }
}
