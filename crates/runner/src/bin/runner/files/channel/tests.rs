use std::io::Seek;

use super::*;

const KIB: usize = 1 << 10;
const TIMEOUT: Duration = Duration::from_secs(60);

/// The content of a file that gets pieces of these lengths, of which `step` bytes are sent at once.
fn received(lengths: &[usize], step: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut rest = content(lengths);
    for &length in lengths {
        let piece: Vec<u8> = rest.drain(..length).collect();
        frames.extend_from_slice(&piece_head(length));
        frames.extend_from_slice(&piece);
    }
    frames.extend(files::encode_message(&FromCaller::End).unwrap());
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || frames.chunks(step).for_each(|part| ours.write_all(part).unwrap()));
        let mut channel = Channel::open(theirs, TIMEOUT).unwrap();
        assert!(matches!(channel.receive_file(&mut file), Ok(FromCaller::End)));
    });
    let mut found = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut found).unwrap();
    found
}

/// What pieces of these lengths have together. Bytes at a distance of 251 differ.
fn content(lengths: &[usize]) -> Vec<u8> {
    (0..lengths.iter().sum()).map(|n| (n % 251 + n / 251) as u8).collect()
}

#[test]
fn small_and_large_pieces_arrive_complete_and_in_order() {
    let mixed = [
        1,
        4 * KIB,
        MIN_SPLICE_BYTES - 1,
        MIN_SPLICE_BYTES,
        3,
        MAX_PIECE_BYTES,
        MAX_PIECE_BYTES,
        0,
        16 * KIB,
        16 * KIB,
        MIN_SPLICE_BYTES + 1,
        7,
    ];
    for step in [1000, MIN_SPLICE_BYTES, usize::MAX] {
        assert!(received(&mixed, step) == content(&mixed), "{step} bytes are sent at once");
    }
}

#[test]
fn pieces_of_one_size_arrive_complete_and_in_order() {
    for length in [1, 4 * KIB, MIN_SPLICE_BYTES, MAX_PIECE_BYTES] {
        let lengths = [length; 20];
        assert!(received(&lengths, usize::MAX) == content(&lengths), "pieces of {length} bytes");
    }
}

#[test]
fn a_file_without_content_is_empty() {
    assert_eq!(received(&[], usize::MAX), b"");
}
