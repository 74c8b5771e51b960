//! Access to a directory tree that never leaves it, whatever symbolic links it contains.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// The root of an image that is being unpacked. Paths are resolved as in a chroot: `..` and symbolic
/// links that point outside stop at the root.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
}

/// A name in an open directory; the entry need not exist.
#[derive(Debug)]
pub(crate) struct TreeEntry {
    dir: OwnedFd,
    name: OsString,
}

impl Tree {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(root, flags, Mode::empty())? })
    }

    /// The entry of this path. Creates missing parent directories.
    ///
    /// # Errors
    /// `InvalidInput` if the path is empty or contains `..`.
    pub(crate) fn entry(&self, path: &Path) -> io::Result<TreeEntry> {
        let mut names = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => names.push(name),
                Component::CurDir | Component::RootDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
            }
        }
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(TreeEntry { dir: self.directory(&names)?, name: name.to_owned() })
    }

    /// Creates this directory and its parents, unless they exist.
    pub(crate) fn ensure(&self, path: &Path) -> io::Result<()> {
        self.entry(&path.join("x")).map(drop)
    }

    fn directory(&self, names: &[&OsStr]) -> io::Result<OwnedFd> {
        let mut path = PathBuf::from(".");
        let mut dir = self.resolve(&path)?;
        for name in names {
            path.push(name);
            dir = match self.resolve(&path) {
                Err(rustix::io::Errno::NOENT) => {
                    let missing = TreeEntry { dir, name: (*name).to_owned() };
                    missing.make_directory(0o755)?;
                    self.resolve(&path)?
                }
                found => found?,
            };
        }
        Ok(dir)
    }

    fn resolve(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
    }
}

impl TreeEntry {
    /// A path for std's file functions, by which the kernel starts at the open directory.
    fn path(&self) -> PathBuf {
        Path::new(&format!("/proc/self/fd/{}", self.dir.as_raw_fd())).join(&self.name)
    }

    /// Another entry of the same directory.
    pub(crate) fn beside(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self { dir: self.dir.try_clone()?, name: name.to_owned() })
    }

    /// All names in the same directory.
    pub(crate) fn siblings(&self) -> io::Result<Vec<OsString>> {
        let dir = format!("/proc/self/fd/{}/", self.dir.as_raw_fd());
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    pub(crate) fn is_directory(&self) -> bool {
        fs::symlink_metadata(self.path()).is_ok_and(|found| found.is_dir())
    }

    /// Removes the entry, if it exists.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let path = self.path();
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Creates a directory, or sets the mode of an existing one.
    pub(crate) fn make_directory(&self, mode: u32) -> io::Result<()> {
        if !self.is_directory() {
            self.clear()?;
            fs::create_dir(self.path())?;
        }
        fs::set_permissions(self.path(), Permissions::from_mode(mode))
    }

    /// Creates a file; replaces an existing entry.
    pub(crate) fn make_file(&self, content: &mut dyn Read, mode: u32) -> io::Result<File> {
        self.clear()?;
        let mut options = File::options();
        let mut file = options.write(true).create_new(true).mode(0o600).open(self.path())?;
        io::copy(content, &mut file)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(file)
    }

    /// Creates a symbolic link; replaces an existing entry.
    pub(crate) fn make_link(&self, target: &Path) -> io::Result<()> {
        self.clear()?;
        symlink(target, self.path())
    }

    /// Creates a hard link to a file or to a symbolic link; replaces an existing entry.
    pub(crate) fn link_to(&self, existing: &Self) -> io::Result<()> {
        self.clear()?;
        fs::hard_link(existing.path(), self.path())
    }

    /// Changes the owner. Does nothing in rootless mode, where all files belong to the server's user,
    /// which is root inside the sandbox.
    pub(crate) fn give_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        lchown(self.path(), Some(uid), Some(gid))
    }

    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(self.path(), Permissions::from_mode(mode))
    }

    /// The content of the entry; empty if it is not a regular file. Does not follow a symbolic link.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let flags = i32::try_from(flags).unwrap_or_default();
        let file = File::options().read(true).custom_flags(flags).open(self.path());
        let mut content = Vec::new();
        match file {
            Ok(mut file) if file.metadata()?.is_file() => file.read_to_end(&mut content)?,
            Ok(_) | Err(_) => 0,
        };
        Ok(content)
    }

    /// The name that this entry hides if it is a whiteout; `Some(None)` if it hides all entries of lower
    /// layers in its directory.
    pub(crate) fn whiteout(&self) -> Option<Option<&OsStr>> {
        let hidden = self.name.as_bytes().strip_prefix(b".wh.")?;
        Some((hidden != b".wh..opq").then_some(OsStr::from_bytes(hidden)))
    }
}
