//! What sandboxes don't see of the directories with programs.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::sources::Sources;
use super::{directory, is_public};

/// Below `/usr`: configuration of this host, which may contain credentials, and sources.
const HIDDEN: [&str; 13] = [
    "etc/npmrc",
    "home",
    "lib/node_modules/npm/npmrc",
    "local/etc",
    "local/home",
    "local/lib/node_modules/npm/npmrc",
    "local/pip.conf",
    "local/share/npm/npmrc",
    "local/src",
    "lost+found",
    "pip.conf",
    "share/nodejs/npm/npmrc",
    "src",
];

/// Makes a layer that hides these parts of `programs` in an overlay, and the entries of `programs` and
/// of `local` in it that not every user may read.
pub(super) fn make_layer(programs: &Path, layer: &Path, sources: &mut Sources) -> io::Result<()> {
    directory(layer, 0o755)?;
    for name in HIDDEN {
        let path = programs.join(name);
        if let Some(parent) = path.parent() {
            sources.add(parent);
        }
        if fs::symlink_metadata(path).is_ok() {
            hide(layer, Path::new(name))?;
        }
    }
    for parent in ["", "local"] {
        let Ok(entries) = fs::read_dir(programs.join(parent)) else { continue };
        for entry in entries {
            let entry = entry?;
            let found = entry.metadata()?;
            if !found.is_symlink() {
                sources.add(&entry.path());
                if !is_public(&found) {
                    hide(layer, &Path::new(parent).join(entry.file_name()))?;
                }
            }
        }
    }
    Ok(())
}

/// Creates a whiteout of overlayfs: a character device with the numbers 0 and 0, which any user may create.
fn hide(layer: &Path, name: &Path) -> io::Result<()> {
    let path = layer.join(name);
    let mut parent = layer.to_owned();
    for part in name.parent().into_iter().flat_map(Path::components) {
        parent.push(part);
        directory(&parent, 0o755)?;
    }
    match mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)) {
        Err(error) if error != rustix::io::Errno::EXIST => Err(error.into()),
        _ => Ok(()),
    }
}
