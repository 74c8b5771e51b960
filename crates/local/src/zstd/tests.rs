use std::io::Write as _;

use domain::{
    file::{FileAction, FilePath},
    ports::Files as _,
};
use testkit::Fakes;

use super::*;

const UNPACK: FileAction = FileAction::Unpack { gzip: false };

/// Unpacks these pieces as the file `a`, and tells what it has then.
async fn unpack(pieces: &[&[u8]]) -> Result<Vec<u8>, FilesError> {
    let fakes = Fakes::new();
    let mut transfer = LibZstd::default().decompress(&user("alice"), open(&fakes, UNPACK).await)?;
    assert_eq!(transfer.next().await?, FileReply::Ready);
    let mut sent = Ok(());
    for piece in pieces {
        sent = transfer.send(piece).await;
        if sent.is_err() {
            break;
        }
    }
    if sent.is_ok() {
        sent = transfer.finish().await;
    }
    match sent {
        Ok(()) => Ok(fakes.files.content("a").expect("it is complete")),
        Err(_) => {
            let error = transfer.next().await.expect_err("the reason");
            drop(transfer);
            assert_eq!(fakes.files.content("a"), None);
            Err(error)
        }
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name)
}

async fn open(fakes: &Fakes, action: FileAction) -> Box<dyn FileTransfer> {
    let task = testkit::task_id("s");
    fakes.files.open(&task, &FilePath(b"a".to_vec()), action).await.expect("it opens")
}

/// Bytes that are long, and compress a little.
fn long() -> Vec<u8> {
    (0..700_000_u32)
        .map(|n| n.wrapping_mul(n).wrapping_mul(0x9e37_79b1).to_be_bytes()[0] >> 2)
        .collect()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("memory")
}

/// A frame that a decoder is to skip.
fn skippable(length: u8) -> Vec<u8> {
    [&[0x53, 0x2a, 0x4d, 0x18, length, 0, 0, 0], vec![9; length.into()].as_slice()].concat()
}

fn assert_refused(result: Result<Vec<u8>, FilesError>, what: &str) {
    let Err(FilesError::Refused(refusal, message)) = result else { panic!("{what}: {result:?}") };
    assert_eq!(refusal, FileRefusal::InvalidArchive, "{what}: {message}");
}

#[tokio::test]
async fn pieces_may_be_cut_anywhere() {
    let (bytes, frame) = (long(), compressed(&long()));
    for size in [1, 7, 1000, 65_536, usize::MAX] {
        let pieces: Vec<_> = frame.chunks(size.min(frame.len())).collect();
        assert!(unpack(&pieces).await.unwrap() == bytes, "in pieces of {size} bytes");
    }
    // Which fill the buffer exactly.
    for length in [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 0] {
        let bytes = vec![5; length];
        assert!(unpack(&[&compressed(&bytes)]).await.unwrap() == bytes, "{length} bytes");
    }
}

#[tokio::test]
async fn several_frames_are_one_archive_and_skippable_ones_are_skipped() {
    let (first, second) = (compressed(&vec![1; PIECE]), compressed(b"second"));
    let frames = [skippable(3), first, skippable(0), second, skippable(200)].concat();
    let whole = [vec![1; PIECE].as_slice(), b"second"].concat();
    assert!(unpack(&[&frames]).await.unwrap() == whole);
    let bytes: Vec<_> = frames.chunks(1).collect();
    assert!(unpack(&bytes).await.unwrap() == whole);
}

#[tokio::test]
async fn what_is_cut_damaged_or_no_zstd_is_refused() {
    let frame = compressed(&long());
    for length in [0, 1, 4, 100, frame.len() / 2, frame.len() - 1] {
        assert_refused(unpack(&[&frame[..length]]).await, &format!("{length} bytes of it"));
    }
    let cut_skippable = [frame.as_slice(), &skippable(9)[..10]].concat();
    assert_refused(unpack(&[&cut_skippable]).await, "a skippable frame that is cut");
    assert_refused(unpack(&[&frame, b"garbage"]).await, "garbage behind it");
    assert_refused(unpack(&[b"no zstd at all"]).await, "garbage");
    let mut encoder = Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&long()).unwrap();
    let mut checked = encoder.finish().unwrap();
    *checked.last_mut().unwrap() ^= 1;
    assert_refused(unpack(&[&checked]).await, "another checksum");
}

#[tokio::test]
async fn a_window_has_a_limit() {
    for (log, is_taken) in [(MAX_WINDOW_LOG, true), (MAX_WINDOW_LOG + 1, false)] {
        let mut encoder = Encoder::new(Vec::new(), 1).unwrap();
        encoder.set_parameter(CParameter::WindowLog(log)).unwrap();
        encoder.write_all(b"small").unwrap();
        let result = unpack(&[&encoder.finish().unwrap()]).await;
        if is_taken {
            assert_eq!(result.unwrap(), b"small");
        } else {
            assert_refused(result, "a window of 16 MiB");
        }
    }
}

#[tokio::test]
async fn what_is_packed_can_be_decompressed() {
    for bytes in [long(), Vec::new()] {
        let fakes = Fakes::new();
        fakes.files.put("a", &bytes);
        let transfer = open(&fakes, FileAction::Pack { gzip: false }).await;
        let mut transfer = LibZstd::default().compress(&user("alice"), transfer).unwrap();
        assert_eq!(transfer.next().await.unwrap(), FileReply::Ready);
        let mut archive = Vec::new();
        let done = loop {
            let reply = transfer.next().await.unwrap();
            let FileReply::Piece(piece) = reply else { break reply };
            archive.extend(piece);
        };
        assert!(matches!(done, FileReply::Done(FilesDone { entries: 1, .. })), "{done:?}");
        assert!(archive.len() < bytes.len().max(20), "{} bytes", archive.len());
        assert!(zstd::decode_all(archive.as_slice()).unwrap() == bytes);
    }
}

#[tokio::test]
async fn transfers_at_once_have_a_limit_for_each_user_and_for_all() {
    let (fakes, zstd) = (Fakes::new(), LibZstd::default());
    let mut open_ones = Vec::new();
    for number in 0..MAX_TRANSFERS / MAX_TRANSFERS_OF_USER {
        let user = user(&format!("user-{number}"));
        for _ in 0..MAX_TRANSFERS_OF_USER {
            open_ones.push(zstd.decompress(&user, open(&fakes, UNPACK).await).unwrap());
        }
        let refused = zstd.compress(&user, open(&fakes, UNPACK).await);
        assert!(matches!(refused.err(), Some(FilesError::TooMany)));
    }
    let other = user("other");
    let refused = zstd.compress(&other, open(&fakes, UNPACK).await);
    assert!(matches!(refused.err(), Some(FilesError::TooMany)));
    open_ones.pop();
    zstd.compress(&other, open(&fakes, UNPACK).await).unwrap();
    drop(open_ones);
    assert!(zstd.users.lock().is_empty());
}
