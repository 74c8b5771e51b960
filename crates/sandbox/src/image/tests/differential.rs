//! Generated layers, unpacked here and by umoci, give the same tree.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt as _;
use std::process::Command;

use super::*;

const CASES: u64 = 30;

/// A generator of pseudorandom numbers (xorshift): each case can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// A path of one to three names, of few, so that layers meet each other.
    fn path(&mut self) -> String {
        let depth = 1 + self.below(3);
        let names: Vec<_> = (0..depth).map(|_| ["a", "b", "c"][self.below(3) as usize]).collect();
        names.join("/")
    }
}

/// What is known of the tree while layers are generated, so that they are ones that an engine could write:
/// `true` for a directory.
type Known = BTreeMap<String, bool>;

fn remove(known: &mut Known, path: &str) {
    let below = format!("{path}/");
    known.retain(|name, _| name != path && !name.starts_with(&below));
}

/// Appends entries for missing or replaced parents of `path`.
fn parents(tar: &mut Builder<Vec<u8>>, known: &mut Known, path: &str, random: &mut Random) {
    for (end, _) in path.match_indices('/') {
        let parent = &path[..end];
        if known.get(parent) != Some(&true) {
            remove(known, parent);
            known.insert(parent.to_owned(), true);
            append(tar, EntryType::Directory, parent, "", random);
        }
    }
}

fn append(
    tar: &mut Builder<Vec<u8>>,
    kind: EntryType,
    path: &str,
    text: &str,
    random: &mut Random,
) {
    let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
    let mut header = header(kind, path, if is_link { 0 } else { text.len() });
    header.set_uid(random.below(3) * 1000);
    header.set_gid(random.below(3) * 1000);
    header.set_mode(
        if kind == EntryType::Directory { 0o700 } else { 0o600 } + random.below(0o100) as u32,
    );
    header.set_mtime(1_000_000_000 + random.below(1_000_000));
    if is_link {
        header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
    }
    header.set_cksum();
    tar.append(&header, if is_link { &[] } else { text.as_bytes() }).unwrap();
}

fn generated_layer(known: &mut Known, random: &mut Random) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let lower: Vec<String> = known.keys().cloned().collect();
    let mut hidden: Vec<String> = Vec::new();
    for _ in 0..3 + random.below(12) {
        let path = random.path();
        match random.below(8) {
            0 | 1 => {
                parents(&mut tar, known, &path, random);
                if known.get(&path) != Some(&true) {
                    remove(known, &path);
                }
                known.insert(path.clone(), true);
                append(&mut tar, EntryType::Directory, &path, "", random);
            }
            kind @ 2..=5 => {
                parents(&mut tar, known, &path, random);
                remove(known, &path);
                let text = format!("content {}", random.below(1000));
                let mut files = known.iter().filter(|(_, is_dir)| !**is_dir).map(|(name, _)| name);
                let existing = files.next().cloned();
                known.insert(path.clone(), false);
                match (kind, existing) {
                    (4, _) => append(&mut tar, EntryType::Symlink, &path, "nowhere", random),
                    (5, Some(file)) => append(&mut tar, EntryType::Link, &path, &file, random),
                    _ => append(&mut tar, EntryType::Regular, &path, &text, random),
                }
            }
            6 => {
                // A whiteout of something below, that this layer has not touched.
                if let Some(name) = lower.get(random.below(lower.len().max(1) as u64) as usize)
                    && known.contains_key(name)
                    && !hidden.iter().any(|other| name.starts_with(other.as_str()))
                {
                    let (dir, base) = name.rsplit_once('/').unwrap_or(("", name));
                    let marker = format!("{dir}/.wh.{base}");
                    append(
                        &mut tar,
                        EntryType::Regular,
                        marker.trim_start_matches('/'),
                        "",
                        random,
                    );
                    remove(known, name);
                    hidden.push(name.clone());
                }
            }
            _ => {
                if known.get(&path) == Some(&true) && lower.contains(&path) && hidden.is_empty() {
                    append(
                        &mut tar,
                        EntryType::Regular,
                        &format!("{path}/.wh..wh..opq"),
                        "",
                        random,
                    );
                    let below = format!("{path}/");
                    known.retain(|name, _| !name.starts_with(&below));
                    hidden.push(path);
                }
            }
        }
    }
    tar.into_inner().unwrap()
}

fn described(root: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.file_type();
        let content = if kind.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else if kind.is_file() {
            fs::read_to_string(&path).unwrap()
        } else {
            String::new()
        };
        let what = (kind.is_dir(), kind.is_symlink(), kind.is_fifo());
        // The mode of a link has no meaning; the time of a directory changes with later layers.
        let mode = if kind.is_symlink() { 0 } else { meta.mode() & 0o1777 };
        let time = if kind.is_dir() { 0 } else { meta.mtime() };
        let links = if kind.is_dir() { 0 } else { meta.nlink() };
        let text =
            format!("{what:?} {mode:o} {} {} {time} {links} {content}", meta.uid(), meta.gid());
        found.insert(path.strip_prefix(root).unwrap().to_owned(), text);
        if kind.is_dir() {
            described(root, &path, found);
        }
    }
}

/// Writes a layout of these layers that umoci accepts.
fn write_layout(layout: &Path, layers: &[Vec<u8>]) {
    let blob = |media_type: &str, content: &[u8]| {
        let hash = digest::hex(content, 64);
        fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        fs::write(layout.join("blobs/sha256").join(&hash), content).unwrap();
        serde_json::json!({ "mediaType": media_type, "digest": format!("sha256:{hash}"), "size": content.len() })
    };
    let kind = |name: &str| format!("application/vnd.oci.image.{name}");
    let tars: Vec<_> = layers.iter().map(|tar| blob(&kind("layer.v1.tar"), tar)).collect();
    let diffs: Vec<_> = tars.iter().map(|tar| tar["digest"].clone()).collect();
    let config = serde_json::json!({
        "architecture": here(), "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": diffs },
    });
    let config = blob(&kind("config.v1+json"), config.to_string().as_bytes());
    let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": kind("manifest.v1+json"), "config": config, "layers": tars });
    let mut manifest = blob(&kind("manifest.v1+json"), manifest.to_string().as_bytes());
    manifest["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "x" });
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[test]
fn umoci_unpacks_generated_layers_to_the_same_tree() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs root for the owners of files");
        return;
    }
    if Command::new("umoci").arg("--version").output().is_err() {
        println!("SKIPPED: umoci is not installed");
        return;
    }
    for seed in 1..=CASES {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut known = Known::new();
        let layers: Vec<_> = (0..4).map(|_| generated_layer(&mut known, &mut random)).collect();
        let dir = tempfile::tempdir().unwrap();
        let (layout, bundle) = (dir.path().join("layout"), dir.path().join("bundle"));
        write_layout(&layout, &layers);
        let done = Command::new("umoci")
            .args(["unpack", "--image"])
            .arg(format!("{}:x", layout.display()))
            .arg(&bundle)
            .output()
            .unwrap();
        assert!(done.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&done.stderr));
        let ours = dir.path().join("ours");
        fs::create_dir(&ours).unwrap();
        let tree = Tree::open(&ours).unwrap();
        for tar in &layers {
            layer::apply(Box::new(tar.as_slice()), &tree).unwrap();
        }
        let (mut expected, mut found) = (BTreeMap::new(), BTreeMap::new());
        described(&bundle.join("rootfs"), &bundle.join("rootfs"), &mut expected);
        described(&ours, &ours, &mut found);
        assert_eq!(found, expected, "seed {seed}");
    }
}
