//! A domain holds for a thread, so each test has one of its own. No system call filter is installed in it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use rustix::process::pivot_root;
use rustix::thread::UnshareFlags;
use tempfile::TempDir;

use super::*;

/// Calls `before` in a new thread and a new mount namespace, with an empty directory on a file system that has
/// devices, and `after` in the domain.
fn in_domain(
    before: impl FnOnce(&Path) + Send + 'static,
    after: impl FnOnce(&Path) + Send + 'static,
) {
    if !rustix::process::geteuid().is_root() {
        return println!("SKIPPED: without root, nothing could be mounted anyway");
    }
    let test = move || {
        let dir = TempDir::new().unwrap();
        own_mounts();
        mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), None).unwrap();
        before(dir.path());
        if confine().unwrap() {
            after(dir.path());
        } else {
            println!("SKIPPED: this kernel has no Landlock that can be used");
        }
    };
    std::thread::spawn(test).join().unwrap();
}

#[expect(
    unsafe_code,
    reason = "unshare is unsafe for the file descriptor table, not for this flag"
)]
fn own_mounts() {
    // SAFETY: this flag affects neither the descriptors nor the memory of this process.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
}

fn make(path: &Path, kind: FileType, device: u64) -> Result<(), Errno> {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device)
}

#[test]
fn no_device_can_be_created() {
    let devices =
        [(FileType::CharacterDevice, makedev(1, 3)), (FileType::BlockDevice, makedev(7, 0))];
    in_domain(
        move |dir| {
            for (number, (kind, device)) in devices.into_iter().enumerate() {
                make(&dir.join(number.to_string()), kind, device).unwrap();
            }
        },
        move |dir| {
            for (kind, device) in devices {
                assert_eq!(make(&dir.join("new"), kind, device), Err(Errno::ACCESS));
            }
            for kind in [FileType::RegularFile, FileType::Fifo, FileType::Socket] {
                make(&dir.join(format!("{kind:?}")), kind, 0).unwrap();
            }
        },
    );
}

#[test]
fn no_mount_can_be_changed() {
    in_domain(
        |dir| {
            for name in ["mounted", "source", "target"] {
                fs::create_dir(dir.join(name)).unwrap();
            }
            let mounted = dir.join("mounted");
            mount("tmpfs", &mounted, "tmpfs", MountFlags::empty(), None).unwrap();
        },
        |dir| {
            let (mounted, target) = (dir.join("mounted"), dir.join("target"));
            let attempts = [
                mount("tmpfs", &target, "tmpfs", MountFlags::empty(), None),
                mount_bind(dir.join("source"), &target),
                mount_remount(&mounted, MountFlags::RDONLY, ""),
                mount_change(&mounted, MountPropagationFlags::SHARED),
                unmount(&mounted, UnmountFlags::DETACH),
                pivot_root(&mounted, &mounted),
            ];
            assert_eq!(attempts, [Err(Errno::PERM); 6]);
        },
    );
}

#[test]
fn files_can_be_renamed_and_linked_across_directories() {
    in_domain(
        |dir| {
            fs::create_dir(dir.join("a")).unwrap();
            fs::create_dir(dir.join("b")).unwrap();
        },
        |dir| {
            fs::write(dir.join("a/file"), "text").unwrap();
            fs::rename(dir.join("a/file"), dir.join("b/file")).unwrap();
            fs::hard_link(dir.join("b/file"), dir.join("a/link")).unwrap();
            fs::rename(dir.join("a"), dir.join("b/a")).unwrap();
            assert_eq!(fs::read_to_string(dir.join("b/a/link")).unwrap(), "text");
        },
    );
}

/// Asks for what only terminals have.
#[expect(unsafe_code, reason = "the features of rustix that are used here have no function for it")]
fn terminal_settings(device: &Path) -> Result<(), Errno> {
    let file = File::open(device).unwrap();
    let mut settings = std::mem::MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: an open descriptor, and a struct that is large enough for what the kernel writes.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::TCGETS, settings.as_mut_ptr()) } {
        -1 => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap()),
        _ => Ok(()),
    }
}

#[test]
fn devices_can_be_controlled_only_below_dev() {
    in_domain(
        |dir| {
            let null = dir.join("null");
            make(&null, FileType::CharacterDevice, makedev(1, 3)).unwrap();
            assert_eq!(terminal_settings(&null), Err(Errno::NOTTY));
        },
        |dir| {
            assert_eq!(terminal_settings(Path::new("/dev/null")), Err(Errno::NOTTY));
            assert_eq!(terminal_settings(Path::new("/dev/ptmx")), Ok(()));
            let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
            if ruleset.handle_access(AccessFs::IoctlDev).is_ok() {
                assert_eq!(terminal_settings(&dir.join("null")), Err(Errno::ACCESS));
            }
        },
    );
}

#[test]
fn a_process_of_the_domain_can_trace_another_one() {
    in_domain(
        |_| {},
        |_| {
            let mut traced = Command::new("/bin/sleep").arg("60").spawn().unwrap();
            let seized = seize(traced.id());
            traced.kill().unwrap();
            traced.wait().unwrap();
            seized.unwrap();
        },
    );
}

#[expect(unsafe_code, reason = "rustix can't trace processes")]
fn seize(pid: u32) -> io::Result<()> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: null pointers where this request takes none.
    match unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid.cast_signed(), none, none) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
