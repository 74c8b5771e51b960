//! The root file systems of sandboxes.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::digest;
use crate::image::{self, ImageError, Settings};

mod host;

pub(crate) use host::HostImage;

/// Path of the runner in every root; the image for AWS has the same path.
pub(crate) const RUNNER: &str = "/opt/ephemeral/runner";
/// `PATH` of the runner and of the launcher.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Uid and gid of shelluser in the image `host`.
pub(crate) const SHELL_UID: u32 = 1000;

/// The statically linked runner, for this architecture.
const RUNNER_BINARY: &[u8] = include_bytes!(env!("RUNNER_BINARY"));

/// The root file systems of a driver's sandboxes.
#[derive(Debug)]
pub(crate) enum Root {
    /// The programs of this host above a generated root.
    Host { host: HostImage, runner: PathBuf },
    /// An image from a file.
    Image { runner: PathBuf, root: PathBuf, settings: Settings },
    /// No root of their own: the runner runs on the host.
    Bare { runner: PathBuf },
}

/// What the root of one sandbox is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Read-only layers, the topmost first.
    pub(crate) layers: Vec<PathBuf>,
    /// Directories of the host with programs, each with a layer that hides parts of it.
    pub(crate) programs: Vec<(PathBuf, PathBuf)>,
    pub(crate) settings: Settings,
}

impl Root {
    /// The root of the image `host`; its files are below `dir`, the driver's directory.
    pub(crate) fn host(dir: &Path) -> io::Result<Self> {
        Ok(Self::Host { host: HostImage::open(dir)?, runner: runner_layer(dir)? })
    }

    /// The root of an image file, which is unpacked below `dir` unless that was done before.
    pub(crate) fn image(image: &Path, dir: &Path) -> Result<Self, ImageError> {
        let images = dir.join("images");
        fs::create_dir_all(&images)?;
        let (root, settings) = image::unpacked(image, &images)?;
        Ok(Self::Image { runner: runner_layer(dir)?, root, settings })
    }

    pub(crate) fn bare(dir: &Path) -> io::Result<Self> {
        let runner = runner_layer(dir)?.join(RUNNER.trim_start_matches('/'));
        Ok(Self::Bare { runner })
    }

    /// The path of the runner's layer, or of the runner where there is no root.
    pub(crate) fn runner(&self) -> &Path {
        match self {
            Self::Host { runner, .. } | Self::Image { runner, .. } | Self::Bare { runner } => {
                runner
            }
        }
    }

    /// Whether a sandbox in this directory would get the same parts now.
    pub(crate) fn is_current(&self, sandbox: &Path) -> bool {
        match self {
            Self::Host { host, .. } => host.is_current(sandbox),
            Self::Image { .. } | Self::Bare { .. } => true,
        }
    }

    /// The parts for the sandbox in this directory; `None` if it has no root of its own.
    pub(crate) fn parts(&self, sandbox: &Path) -> io::Result<Option<Parts>> {
        match self {
            Self::Host { host, runner } => {
                let snapshot = host.snapshot(sandbox)?;
                Ok(Some(Parts {
                    layers: vec![runner.clone(), snapshot.root.clone()],
                    programs: snapshot.programs.clone(),
                    settings: Settings::default(),
                }))
            }
            Self::Image { runner, root, settings } => Ok(Some(Parts {
                layers: vec![runner.clone(), root.clone()],
                programs: Vec::new(),
                settings: settings.clone(),
            })),
            Self::Bare { .. } => Ok(None),
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
