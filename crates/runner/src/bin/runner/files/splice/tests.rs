use std::fs::OpenOptions;
use std::io::Seek;
use std::os::unix::net::UnixStream;

use runner::protocol::files::FileError;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::*;

/// What a file holds after these bytes were moved to it.
fn moved(mut file: File, bytes: &[u8]) -> Vec<u8> {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut splice = Splice::new().unwrap();
    let mut left = bytes.len();
    std::thread::scope(|scope| {
        scope.spawn(|| ours.write_all(bytes).unwrap());
        while left > 0 {
            left -= splice.transfer(&theirs, &mut file, left).unwrap().unwrap();
        }
    });
    let mut found = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut found).unwrap();
    found
}

fn bytes() -> Vec<u8> {
    (0..300_001_u32).map(|n| (n % 251) as u8).collect()
}

#[test]
fn bytes_of_a_socket_are_moved_to_a_file() {
    assert!(moved(tempfile::tempfile().unwrap(), &bytes()) == bytes());
}

#[test]
fn a_file_that_takes_nothing_from_a_pipe_gets_the_bytes_as_well() {
    // The kernel does not splice to files that are opened to append.
    let path = tempfile::NamedTempFile::new().unwrap();
    let file = OpenOptions::new().append(true).read(true).open(path.path()).unwrap();
    assert!(moved(file, &bytes()) == bytes());
}

#[test]
fn no_byte_is_moved_beyond_the_most() {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"content and more").unwrap();
    let mut file = tempfile::tempfile().unwrap();
    let mut splice = Splice::new().unwrap();
    assert_eq!(splice.transfer(&theirs, &mut file, 7).unwrap(), Some(7));
    let mut rest = [0; 9];
    theirs.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b" and more");
}

#[test]
fn a_caller_that_has_gone_is_no_failure_of_the_file() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    let mut splice = Splice::new().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    assert!(matches!(splice.transfer(&theirs, &mut file, 1), Err(Failure::Lost)));
}

/// The failure of a transfer of 64 KiB to a file that has no room for them.
fn failure(mut full: File) -> Failure {
    const BYTES: usize = 64 << 10;
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(&[b'x'; BYTES]).unwrap();
    let mut splice = Splice::new().unwrap();
    let mut left = BYTES;
    while left > 0 {
        match splice.transfer(&theirs, &mut full, left) {
            Ok(count) => left -= count.unwrap(),
            Err(failure) => return failure,
        }
    }
    panic!("the file has room for all bytes");
}

/// A file in a new file system of 16 KiB, which takes bytes from a pipe. The file system ends with the file.
fn small_tmpfs() -> rustix::io::Result<File> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "size", "16k")?;
    rustix::mount::fsconfig_create(&context)?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let root = rustix::mount::fsmount(&context, flags, MountAttrFlags::empty())?;
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::openat(root, "file", flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

#[test]
fn a_full_disk_is_reported_for_bytes_that_are_spliced() {
    let file = match small_tmpfs() {
        Ok(file) => file,
        Err(error) => return println!("SKIPPED: no file system can be mounted: {error}"),
    };
    // If the kernel could not splice to this file, the bytes would be copied, and the test would show nothing.
    let mut splice = Splice::new().unwrap();
    splice.write.write_all(b"x").unwrap();
    let spliced = rustix::pipe::splice(&splice.read, None, &file, None, 1, SpliceFlags::MOVE);
    assert_eq!(spliced, Ok(1));
    let failed = failure(file);
    assert!(matches!(failed, Failure::Told(FileError::DiskFull, _)), "{failed:?}");
}

#[test]
fn a_full_disk_is_reported_for_bytes_that_are_copied() {
    // The kernel does not splice to this device.
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let failed = failure(full);
    assert!(matches!(failed, Failure::Told(FileError::DiskFull, _)), "{failed:?}");
}

#[test]
fn a_descriptor_from_which_nothing_can_be_moved_is_left_as_it_is() {
    let mut splice = Splice::new().unwrap();
    let directory = File::open("/").unwrap();
    let mut file = tempfile::tempfile().unwrap();
    assert_eq!(splice.transfer(&directory, &mut file, 1).unwrap(), None);
}
