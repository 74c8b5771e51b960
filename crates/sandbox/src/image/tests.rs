use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::settings::{ShellUser, find_shell_user};
use super::*;

/// An entry of a layer.
enum Item {
    Dir(&'static str),
    File(&'static str, &'static str),
    Link(&'static str, &'static str),
    Hard(&'static str, &'static str),
    Device(&'static str),
    Fifo(&'static str),
}
use Item::{Device, Dir, Fifo, File, Hard, Link};

mod archives;
mod differential;
mod layers;

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
            Fifo(path) => (header(EntryType::Fifo, path, 0), ""),
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Several frames of zstd after one without data, as pzstd(1) writes them.
fn frames(bytes: &[u8]) -> Vec<u8> {
    let mut frames = vec![0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    for part in bytes.chunks(bytes.len().div_ceil(3)) {
        frames.extend(zstd::encode_all(part, 1).unwrap());
    }
    frames
}

/// Several members of gzip, as pigz(1) and concatenation write them.
fn members(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(bytes.len().div_ceil(3)).flat_map(gzip).collect()
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
    let plain = layer(&[File("hello", "1")]);
    let one_frame = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for layer in [gzip(&plain), members(&plain), one_frame, frames(&plain), plain] {
        let images = tempfile::tempdir().unwrap();
        let image = layout(&layer, here());
        let (root, _) = unpacked(image.path(), images.path()).unwrap();
        assert_eq!(fs::read_to_string(root.join("hello")).unwrap(), "1");
        assert!(root.join("home/shelluser").is_dir() && root.join("proc").is_dir());
        let user = find_shell_user(&Tree::open(&root).unwrap()).unwrap().unwrap();
        assert_eq!((user.uid, user.home), (1000, "/home/shelluser".into()));
        fs::write(root.join("mark"), "").unwrap();
        assert_eq!(unpacked(image.path(), images.path()).unwrap().0, root);
        assert!(root.join("mark").exists(), "the image was unpacked twice");
    }
}

#[test]
fn a_user_of_the_image_is_kept() {
    let passwd = "root:x:0:0::/root:/bin/sh\nshelluser:x:1234:1235::/work:/bin/bash\n";
    let image = layout(&layer(&[Dir("etc"), File("etc/passwd", passwd)]), here());
    let images = tempfile::tempdir().unwrap();
    let (root, _) = unpacked(image.path(), images.path()).unwrap();
    let user = find_shell_user(&Tree::open(&root).unwrap()).unwrap().unwrap();
    assert_eq!(user, ShellUser { uid: 1234, gid: 1235, home: "/work".into() });
}

#[test]
fn an_id_in_use_is_not_assigned_again() {
    let passwd = "root:x:0:0::/root:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash";
    let image = layout(&layer(&[Dir("etc"), File("etc/passwd", passwd)]), here());
    let images = tempfile::tempdir().unwrap();
    let (root, _) = unpacked(image.path(), images.path()).unwrap();
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
