//! What a sandbox sees as its root.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::image::{self, ImageError, Resident, Tree};

mod host;

/// The runner's place in every root: where the image that runs elsewhere has it too.
pub(crate) const RUNNER: &str = "/opt/ephemeral/runner";
/// For the runner, and through it for the commands.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Of shelluser, and of its group.
pub(crate) const SHELL_UID: u32 = 1000;

/// The static binary that is PID 1, for the architecture of this one.
const RUNNER_BINARY: &[u8] = include_bytes!(env!("RUNNER_BINARY"));

/// A root for any number of sandboxes.
#[derive(Debug)]
pub(crate) enum Root {
    /// A few directories and files of ours, read-only, with the host's programs bound over them.
    Host { dir: PathBuf, shared: Vec<PathBuf> },
    /// Below an overlay for each sandbox, the highest first.
    Layers { lower: Vec<PathBuf>, resident: Resident },
    /// None: the runner works on the host itself.
    Bare { runner: PathBuf },
}

impl Root {
    /// Makes the host image's root below `dir`, or brings it up to date: sandboxes may be using it.
    pub(crate) fn host(dir: &Path) -> io::Result<Self> {
        let dir = dir.join("host");
        let shared = host::prepare(&dir)?;
        install_runner(&dir)?;
        Ok(Self::Host { dir, shared })
    }

    /// Unpacks an image below `dir`, unless that was done before.
    pub(crate) fn image(image: &Path, dir: &Path) -> Result<Self, ImageError> {
        let images = dir.join("images");
        fs::create_dir_all(&images)?;
        let lower = image::unpacked(image, &images)?;
        let resident = image::find_resident(&Tree::open(&lower)?)?;
        let resident = resident.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self::Layers { lower: vec![runner_layer(dir)?, lower], resident })
    }

    pub(crate) fn bare(dir: &Path) -> io::Result<Self> {
        let runner = runner_layer(dir)?.join(RUNNER.trim_start_matches('/'));
        Ok(Self::Bare { runner })
    }

    pub(crate) fn resident(&self) -> Resident {
        match self {
            Self::Host { .. } | Self::Bare { .. } => {
                let home = PathBuf::from("/home/shelluser");
                Resident { uid: SHELL_UID, gid: SHELL_UID, home }
            }
            Self::Layers { resident, .. } => resident.clone(),
        }
    }
}

/// A layer with nothing but the runner, under the name of its content: what overlays use must not
/// change.
fn runner_layer(dir: &Path) -> io::Result<PathBuf> {
    let hash = Sha256::digest(RUNNER_BINARY);
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let layer = dir.join(format!("runner-{hash}"));
    directory(&layer, 0o755)?;
    install_runner(&layer)?;
    Ok(layer)
}

fn install_runner(root: &Path) -> io::Result<()> {
    for dir in ["opt", "opt/ephemeral"] {
        directory(&root.join(dir), 0o755)?;
    }
    let path = root.join(RUNNER.trim_start_matches('/'));
    file(&path, RUNNER_BINARY, 0o755)
}

/// Makes a directory with exactly this mode, whatever the umask.
fn directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Puts a file in place with exactly this mode. One that is the same already is left alone.
fn file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return fs::set_permissions(path, Permissions::from_mode(mode));
    }
    let new = beside(path);
    fs::write(&new, content)?;
    fs::set_permissions(&new, Permissions::from_mode(mode))?;
    fs::rename(&new, path)
}

fn link(path: &Path, target: &Path) -> io::Result<()> {
    if fs::read_link(path).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let new = beside(path);
    let _ = fs::remove_file(&new);
    symlink(target, &new)?;
    fs::rename(&new, path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".ephemeral-new");
    path.with_file_name(name)
}
