//! Mounts an image through a loop device: loop(4).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use rustix::ioctl::{self, Opcode, Setter};
use rustix::mount::{MountFlags, mount};

/// How often another process may take the device that the kernel has just named as free.
const MAX_ATTEMPTS: usize = 100;
const LOOP_MAJOR: u32 = 7;
const LOOP_CONFIGURE: Opcode = 0x4C0A;
const LOOP_CTL_GET_FREE: Opcode = 0x4C82;
/// The kernel detaches the device when its last user is gone.
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// The image's own pages are not cached: those of the file system in it are.
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
struct LoopInfo {
    /// device, inode, rdevice, offset, sizelimit
    numbers: [u64; 5],
    /// number, encrypt_type, encrypt_key_size
    types: [u32; 3],
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// Mounts the ext4 image at `at`. Nothing remains of the loop device after the mount.
pub(super) fn mount_image(image: &Path, at: &Path) -> io::Result<()> {
    let (_device, path) = attach(image)?;
    // The kernel would zero the rest of the inode table in the background, which takes disk space.
    let options = c"noinit_itable,errors=remount-ro";
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    Ok(mount(&path, at, "ext4", flags, options)?)
}

/// Attaches the image to a free device. The device exists as long as it is open or mounted.
fn attach(image: &Path) -> io::Result<(File, PathBuf)> {
    let backing = OpenOptions::new().read(true).write(true).open(image)?;
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    let fd = u32::try_from(backing.as_raw_fd()).map_err(io::Error::other)?;
    for _ in 0..MAX_ATTEMPTS {
        let number = free_device(&control)?;
        let (device, path) = open_device(number, image)?;
        match configure(&device, fd) {
            Ok(()) => return Ok((device, path)),
            Err(Errno::BUSY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("no loop device is free"))
}

#[expect(unsafe_code, reason = "ioctl(2) has no safe wrapper for this request")]
fn free_device(control: &File) -> io::Result<u32> {
    struct GetFree;

    // SAFETY: the request takes no argument and returns a number.
    unsafe impl ioctl::Ioctl for GetFree {
        type Output = u32;
        const IS_MUTATING: bool = false;
        fn opcode(&self) -> Opcode {
            LOOP_CTL_GET_FREE
        }
        fn as_ptr(&mut self) -> *mut std::ffi::c_void {
            std::ptr::null_mut()
        }
        unsafe fn output_from_ptr(
            output: ioctl::IoctlOutput,
            _: *mut std::ffi::c_void,
        ) -> rustix::io::Result<u32> {
            u32::try_from(output).map_err(|_| Errno::RANGE)
        }
    }

    // SAFETY: the descriptor is that of /dev/loop-control, which knows the request.
    Ok(unsafe { ioctl::ioctl(control, GetFree) }?)
}

/// Opens `/dev/loopN`. Where `/dev` does not follow the kernel, as in a container, makes a node of that
/// device beside the image.
fn open_device(number: u32, image: &Path) -> io::Result<(File, PathBuf)> {
    let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
    let path = PathBuf::from(format!("/dev/loop{number}"));
    match open(&path) {
        Ok(device) => return Ok((device, path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let path = image.with_file_name(format!("loop{number}"));
    let mode = Mode::from_raw_mode(0o600);
    mknodat(rustix::fs::CWD, &path, FileType::BlockDevice, mode, makedev(LOOP_MAJOR, number))?;
    Ok((open(&path)?, path))
}

#[expect(unsafe_code, reason = "ioctl(2) has no safe wrapper for this request")]
fn configure(device: &File, fd: u32) -> rustix::io::Result<()> {
    let info = LoopInfo {
        numbers: [0; 5],
        types: [0; 3],
        flags: LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    let config = LoopConfig { fd, block_size: 0, info, reserved: [0; 8] };
    // SAFETY: the kernel reads a `loop_config`, whose layout `LoopConfig` has.
    unsafe { ioctl::ioctl(device, Setter::<LOOP_CONFIGURE, LoopConfig>::new(config)) }
}
