//! Access to a directory tree that never leaves it, whatever symbolic links it contains.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags, lsetxattr, mkfifoat,
    openat2, utimensat,
};

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
        let (names, name) = split(path)?;
        Ok(TreeEntry { dir: self.directory(&names)?, name: name.to_owned() })
    }

    /// The entry of this path, which need not exist; `None` if its directory does not exist.
    ///
    /// # Errors
    /// `InvalidInput` as for [`entry`](Self::entry).
    pub(crate) fn existing(&self, path: &Path) -> io::Result<Option<TreeEntry>> {
        let (names, name) = split(path)?;
        let dir: PathBuf = Path::new(".").join(names.iter().collect::<PathBuf>());
        match self.resolve(&dir) {
            Ok(dir) => Ok(Some(TreeEntry { dir, name: name.to_owned() })),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory of this path, with links followed; `None` if there is none.
    pub(crate) fn resolved(&self, path: &Path) -> io::Result<Option<TreeEntry>> {
        match self.resolve(&Path::new(".").join(path.strip_prefix("/").unwrap_or(path))) {
            Ok(dir) => Ok(Some(TreeEntry { dir, name: OsString::from(".") })),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
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

/// The names of the directories of a path, and its last name.
fn split(path: &Path) -> io::Result<(Vec<&OsStr>, &OsStr)> {
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
    Ok((names, name))
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

    /// The entries of this directory.
    pub(crate) fn children(&self) -> io::Result<Vec<Self>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())?;
        let first = Self { dir, name: OsString::new() };
        first.siblings()?.iter().map(|name| first.beside(name)).collect()
    }

    /// The inode of the entry's directory, and its name. It outlives the entry.
    pub(crate) fn identity(&self) -> io::Result<(u64, OsString)> {
        Ok((rustix::fs::fstat(&self.dir)?.st_ino, self.name.clone()))
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

    /// Creates a named pipe; replaces an existing entry.
    pub(crate) fn make_fifo(&self) -> io::Result<()> {
        self.clear()?;
        Ok(mkfifoat(&self.dir, &self.name, Mode::RUSR | Mode::WUSR)?)
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

    /// Changes the owner, also in a user namespace.
    pub(crate) fn chown(&self, uid: u32, gid: u32) -> io::Result<()> {
        lchown(self.path(), Some(uid), Some(gid))
    }

    /// Uid and gid.
    pub(crate) fn owner(&self) -> io::Result<(u32, u32)> {
        let found = fs::symlink_metadata(self.path())?;
        Ok((found.uid(), found.gid()))
    }

    /// Whether nothing has this name, or an empty file.
    pub(crate) fn is_absent_or_empty(&self) -> bool {
        fs::symlink_metadata(self.path()).map_or(true, |found| found.is_file() && found.len() == 0)
    }

    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(self.path(), Permissions::from_mode(mode))
    }

    /// Sets the modification time in seconds since the Unix epoch, of a symbolic link its own.
    pub(crate) fn set_time(&self, seconds: i64) -> io::Result<()> {
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(utimensat(&self.dir, &self.name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets extended attributes of a file or directory, where the file system has them.
    pub(crate) fn set_xattrs(&self, xattrs: &[(String, Vec<u8>)]) -> io::Result<()> {
        for (name, value) in xattrs {
            match lsetxattr(self.path(), name, value, XattrFlags::empty()) {
                // A named pipe can't have attributes of users.
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
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
}
