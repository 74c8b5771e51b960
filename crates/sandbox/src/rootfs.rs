//! The root file systems of sandboxes.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::digest;
use crate::image::{self, ImageError, ShellUser, Tree};

mod host;

/// Path of the runner in every root; the image for AWS has the same path.
pub(crate) const RUNNER: &str = "/opt/ephemeral/runner";
/// `PATH` of the runner and of the launcher.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Uid and gid of shelluser in the image `host`.
pub(crate) const SHELL_UID: u32 = 1000;

/// The statically linked runner, for this architecture.
const RUNNER_BINARY: &[u8] = include_bytes!(env!("RUNNER_BINARY"));

/// The root file system that the sandboxes of a driver share.
#[derive(Debug)]
pub(crate) enum Root {
    /// A read-only directory, and the host's directories with programs, which are bound into it.
    Host { dir: PathBuf, shared: Vec<PathBuf> },
    /// Read-only layers (the topmost first) below each sandbox's overlay.
    Layers { lower: Vec<PathBuf>, user: ShellUser },
    /// No root of their own: the runner runs on the host.
    Bare { runner: PathBuf },
}

impl Root {
    /// Creates or updates the root of the image `host` below `dir`. Existing sandboxes may be using it.
    pub(crate) fn host(dir: &Path) -> io::Result<Self> {
        let dir = dir.join("host");
        let shared = host::prepare(&dir)?;
        install_runner(&dir)?;
        Ok(Self::Host { dir, shared })
    }

    /// The root of an image file, which is unpacked below `dir` unless that was done before.
    pub(crate) fn image(image: &Path, dir: &Path) -> Result<Self, ImageError> {
        let images = dir.join("images");
        fs::create_dir_all(&images)?;
        let lower = image::unpacked(image, &images)?;
        let user = image::find_shell_user(&Tree::open(&lower)?)?;
        let user = user.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self::Layers { lower: vec![runner_layer(dir)?, lower], user })
    }

    pub(crate) fn bare(dir: &Path) -> io::Result<Self> {
        let runner = runner_layer(dir)?.join(RUNNER.trim_start_matches('/'));
        Ok(Self::Bare { runner })
    }

    pub(crate) fn user(&self) -> ShellUser {
        match self {
            Self::Host { .. } | Self::Bare { .. } => {
                let home = PathBuf::from("/home/shelluser");
                ShellUser { uid: SHELL_UID, gid: SHELL_UID, home }
            }
            Self::Layers { user, .. } => user.clone(),
        }
    }
}

/// Creates a layer that contains only the runner. Its name contains the runner's digest, because a layer
/// in use by an overlay must not change.
fn runner_layer(dir: &Path) -> io::Result<PathBuf> {
    let layer = dir.join(format!("runner-{}", digest::hex(RUNNER_BINARY, 16)));
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

/// Creates a directory with exactly this mode, whatever the umask.
fn directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Writes a file atomically, with exactly this mode. A file with the same content is not replaced.
fn file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return fs::set_permissions(path, Permissions::from_mode(mode));
    }
    let new = beside(path);
    fs::write(&new, content)?;
    fs::set_permissions(&new, Permissions::from_mode(mode))?;
    fs::rename(&new, path)
}

/// Creates a symbolic link atomically.
fn link(path: &Path, target: &Path) -> io::Result<()> {
    if fs::read_link(path).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let new = beside(path);
    let _ = fs::remove_file(&new);
    symlink(target, &new)?;
    fs::rename(&new, path)
}

/// A temporary path in the same directory.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".ephemeral-new");
    path.with_file_name(name)
}
