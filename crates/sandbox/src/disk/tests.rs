use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn a_copy_has_the_same_content_and_as_few_blocks() {
    const LENGTH: u64 = 64 << 20;
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let mut file = File::create(&from).unwrap();
    file.set_len(LENGTH).unwrap();
    for at in [0, 10 << 20, LENGTH - 7] {
        file.seek(io::SeekFrom::Start(at)).unwrap();
        file.write_all(b"content").unwrap();
    }
    copy_sparse(&from, &to).unwrap();
    assert_eq!(fs::read(&from).unwrap(), fs::read(&to).unwrap());
    let copied = fs::metadata(&to).unwrap();
    assert_eq!(copied.mode() & 0o777, 0o600);
    assert!(copied.blocks() * 512 < 1 << 20, "{} blocks", copied.blocks());
}

#[test]
fn an_image_has_the_requested_size_and_is_sparse() {
    let dir = tempfile::tempdir().unwrap();
    let disks = match Disks::find(dir.path().join("disks")) {
        Ok(disks) => disks,
        Err(reason) => return println!("SKIPPED: {reason}"),
    };
    let image = dir.path().join("image");
    for size_mib in [64, 256] {
        disks.create(&image, size_mib).unwrap();
        let found = fs::metadata(&image).unwrap();
        assert_eq!(found.len(), u64::from(size_mib) << 20);
        assert!(found.blocks() * 512 < 4 << 20, "{} blocks", found.blocks());
    }
}
