//! The disk of a sandbox: a file system of a fixed size, so that a full one is an error of the command
//! that fills it (`ENOSPC`), and takes neither memory nor the space of other sandboxes.
//!
//! As root it is an ext4 image in a sparse file of the sandbox's directory. The launcher mounts it in the
//! sandbox's mount namespace through a loop device that the kernel detaches with that mount, so nothing
//! is left to clean up but the file. Without root, loop devices or `mke2fs` it is a tmpfs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parking_lot::Mutex;
use rustix::fs::{Access, SeekFrom, access, copy_file_range, ioctl_ficlone, seek};
use rustix::io::Errno;

use crate::driver::{Config, Runtime};
use crate::host;

/// Name of the image in a sandbox's directory.
pub(crate) const FILE: &str = "disk.ext4";
/// Size of the disk of a sandbox that needs none in particular, in MiB. Its template is made first.
pub(crate) const DEFAULT_MIB: u32 = 2048;
/// The smallest ext4 image that has room for files, in MiB.
const MIN_MIB: u32 = 8;

/// The images of one driver.
#[derive(Debug)]
pub(crate) struct Disks {
    dir: PathBuf,
    mke2fs: PathBuf,
    /// Held while a template is made.
    lock: Mutex<()>,
}

impl Disks {
    /// Images whose templates are kept in `dir`.
    ///
    /// # Errors
    /// Why this host has no images of disks.
    pub(crate) fn find(dir: PathBuf) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can use loop devices".to_owned());
        }
        let control = access("/dev/loop-control", Access::READ_OK | Access::WRITE_OK);
        control.map_err(|error| format!("/dev/loop-control: {error}"))?;
        let mke2fs = host::program("mke2fs").ok_or("the program mke2fs is not installed")?;
        Ok(Self { dir, mke2fs, lock: Mutex::default() })
    }

    /// Creates an empty image of this size.
    pub(crate) fn create(&self, at: &Path, size_mib: u32) -> io::Result<()> {
        let template = self.template(size_mib.max(MIN_MIB))?;
        match fs::remove_file(at) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        copy_sparse(&template, at)
    }

    /// An image that is only copied: making one takes longer than starting a sandbox.
    fn template(&self, size_mib: u32) -> io::Result<PathBuf> {
        let path = self.dir.join(format!("{size_mib}.ext4"));
        let _lock = self.lock.lock();
        if path.exists() {
            return Ok(path);
        }
        fs::create_dir_all(&self.dir)?;
        let new = path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // No journal, because no disk is used again after a crash. No reserve of blocks for root.
        let output = Command::new(&self.mke2fs)
            .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-i", "8192"])
            .args(["-O", "^has_journal,^resize_inode"])
            .args(["-E", "lazy_itable_init=1,nodiscard,root_owner=0:0"])
            .arg(&new)
            .arg(format!("{size_mib}m"))
            .env_clear()
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("mke2fs failed: {}", message.trim())));
        }
        fs::rename(&new, &path)?;
        Ok(path)
    }
}

/// The images of a driver with this configuration, whose templates are kept in `dir`, after one was
/// really mounted.
///
/// # Errors
/// Why disks must be held in memory.
pub(crate) fn find(config: &Config, dir: PathBuf) -> Result<Disks, String> {
    if config.runtime == Runtime::Bare {
        return Err("there is no sandbox".to_owned());
    }
    let disks = Disks::find(dir.clone())?;
    let failed = |error: io::Error| format!("{}: {error}", dir.display());
    let probe = dir.join("probe");
    // An earlier process may have been killed here.
    let _ = fs::remove_dir_all(&probe);
    fs::create_dir_all(&probe).map_err(failed)?;
    let mounted = disks.create(&probe.join(FILE), DEFAULT_MIB).map_err(failed);
    let mounted = mounted.and_then(|()| crate::runtime::probe(&config.exe, "disk", &probe, None));
    let removed = fs::remove_dir_all(&probe).map_err(failed);
    mounted.and(removed).map(|()| disks)
}

/// Copies a sparse file: shares its blocks where the file system can, else copies those that it has.
fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let mut options = OpenOptions::new();
    let target = std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600)
        .read(true)
        .write(true)
        .create_new(true)
        .open(to)?;
    if ioctl_ficlone(&target, &source).is_ok() {
        return Ok(());
    }
    target.set_len(source.metadata()?.len())?;
    let mut end = 0;
    loop {
        let start = match seek(&source, SeekFrom::Data(end)) {
            Ok(start) => start,
            // There is no data after `end`.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        end = seek(&source, SeekFrom::Hole(start))?;
        copy_range(&source, &target, start, end)?;
    }
}

fn copy_range(from: impl AsFd, to: impl AsFd, start: u64, end: u64) -> io::Result<()> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let left = usize::try_from(end - read).unwrap_or(usize::MAX);
        if copy_file_range(&from, Some(&mut read), &to, Some(&mut written), left)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
