use std::fs::OpenOptions;
use std::io::Seek;
use std::os::unix::net::UnixStream;

use super::*;

/// What a file holds after these bytes were moved to it, and in how many steps.
fn moved(mut file: File, bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut splice = Splice::new().unwrap();
    let (mut left, mut steps) = (bytes.len(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| ours.write_all(bytes).unwrap());
        while left > 0 {
            left -= splice.transfer(&theirs, &mut file, left).unwrap().unwrap();
            steps += 1;
        }
    });
    let mut found = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut found).unwrap();
    (found, steps)
}

fn bytes() -> Vec<u8> {
    (0..300_001_u32).map(|n| (n % 251) as u8).collect()
}

#[test]
fn bytes_of_a_socket_are_moved_to_a_file() {
    let (found, steps) = moved(tempfile::tempfile().unwrap(), &bytes());
    assert!(found == bytes());
    assert!(steps > 1, "the socket never held all of them");
}

#[test]
fn a_file_that_takes_nothing_from_a_pipe_gets_the_bytes_as_well() {
    // The kernel does not splice to files that are opened to append.
    let path = tempfile::NamedTempFile::new().unwrap();
    let file = OpenOptions::new().append(true).read(true).open(path.path()).unwrap();
    assert!(moved(file, &bytes()).0 == bytes());
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
fn a_caller_that_has_gone_and_a_full_disk_are_told_apart() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    let mut splice = Splice::new().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    assert!(matches!(splice.transfer(&theirs, &mut file, 1), Err(Failure::Lost)));

    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"x").unwrap();
    let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let failed = splice.transfer(&theirs, &mut full, 1);
    assert!(
        matches!(failed, Err(Failure::Told(runner::protocol::files::FileError::DiskFull, _))),
        "{failed:?}"
    );
}

#[test]
fn a_descriptor_from_which_nothing_can_be_moved_is_left_as_it_is() {
    let mut splice = Splice::new().unwrap();
    let directory = File::open("/").unwrap();
    let mut file = tempfile::tempfile().unwrap();
    assert_eq!(splice.transfer(&directory, &mut file, 1).unwrap(), None);
}
