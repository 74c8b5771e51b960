//! Archives: whole trees, and hostile ones.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use runner::protocol::files::{self, FileAction, FileError, Reply, piece_head};
use runner::protocol::{Event, Request};

use super::transfer::{Transfer, content, directory, open_to_all, send, unpack};
use crate::shell::{Shell, sh};

#[test]
fn an_archive_comes_back_as_it_was_sent() {
    for gzip in [false, true] {
        let (shell, dir) = (Shell::boot(), directory());
        let from = dir.path().join("from");
        std::fs::create_dir_all(from.join("dir/empty")).unwrap();
        std::fs::write(from.join("dir/file"), vec![7; 300_000]).unwrap();
        std::fs::write(from.join("n".repeat(200)), "long name").unwrap();
        symlink("dir/file", from.join("link")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(from.join("dir/file"), mode).unwrap();
        let before_1970 = std::time::UNIX_EPOCH - std::time::Duration::from_secs(300_000_000);
        let old = std::fs::File::open(from.join("dir/file")).unwrap();
        old.set_modified(before_1970).unwrap();
        let mut pack = Transfer::open(&shell, FileAction::Pack { gzip }, &from);
        assert_eq!(pack.reply(), Reply::Ready);
        let (archive, end) = pack.pieces();
        assert!(matches!(end, Some(Reply::Done(done)) if done.entries == 5), "{end:?}");
        assert_eq!(archive.starts_with(&[0x1f, 0x8b]), gzip);
        let to = dir.path().join("new/to");
        let unpack = Transfer::open(&shell, FileAction::Unpack { gzip }, &to);
        assert_eq!(send(unpack, &archive).unwrap().entries, 5);
        assert_eq!(std::fs::read(to.join("dir/file")).unwrap(), vec![7; 300_000]);
        let found = std::fs::metadata(to.join("dir/file")).unwrap();
        assert_eq!((found.mode() & 0o777, found.mtime()), (0o755, -300_000_000));
        assert_eq!(std::fs::read_link(to.join("link")).unwrap(), Path::new("dir/file"));
        assert_eq!(std::fs::read(to.join("n".repeat(200))).unwrap(), b"long name");
        assert!(to.join("dir/empty").is_dir());
    }
}

/// An entry of a hostile archive. The builder of the `tar` crate refuses such names.
fn hostile(kind: u8, path: &str, target: &str, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(size);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_cksum();
    let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
    [header.as_bytes().as_slice(), content, &padding].concat()
}

/// An archive of these entries.
fn ended(entries: Vec<u8>) -> Vec<u8> {
    [entries, vec![0; 1024]].concat()
}

#[test]
fn an_archive_that_is_damaged_or_cut_is_refused() {
    let (shell, dir) = (Shell::boot(), directory());
    let one = |name: &str| hostile(b'0', name, "", 512, &[0; 512]);
    let whole = ended([one("a"), one("b")].concat());
    assert_eq!(unpack(&shell, dir.path(), &whole).unwrap().entries, 2);
    assert_eq!(unpack(&shell, dir.path(), b"").unwrap().entries, 0);
    for cut in [1024, 2048] {
        let error = unpack(&shell, dir.path(), &whole[..cut]).unwrap_err();
        assert_eq!(error, FileError::InvalidArchive, "cut at {cut}");
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&whole).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut damaged = gzip.clone();
    damaged[gzip.len() - 8] ^= 1;
    for (bytes, is_whole) in
        [(&gzip[..], true), (&damaged, false), (&gzip[..gzip.len() - 8], false)]
    {
        let transfer = Transfer::open(&shell, FileAction::Unpack { gzip: true }, dir.path());
        let result = send(transfer, bytes);
        assert_eq!(result.is_ok(), is_whole, "{result:?}");
    }
}

#[test]
fn an_error_of_the_compression_names_no_entry() {
    let (shell, dir) = (Shell::boot(), directory());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(&ended(hostile(b'0', "last.txt", "", 100_000, &[7; 100_000]))).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut transfer = Transfer::open(&shell, FileAction::Unpack { gzip: true }, dir.path());
    assert_eq!(transfer.reply(), Reply::Ready);
    transfer.piece(&gzip[..50_000]);
    transfer.message(files::FromCaller::End);
    let Reply::Failed { error, message } = transfer.reply() else { panic!("it is cut") };
    assert_eq!(error, FileError::InvalidArchive);
    assert!(message.starts_with("the archive can't be unpacked: "), "{message}");
    assert!(!message.contains("last.txt"), "{message}");
}

#[test]
fn a_sparse_file_in_posix_format_is_refused() {
    let (shell, dir) = (Shell::boot(), directory());
    let record = b"22 GNU.sparse.major=1\n";
    let pax = hostile(b'x', "pax", "", record.len() as u64, record);
    let archive = ended([pax, hostile(b'0', "GNUSparseFile.1/f", "", 1, b"x")].concat());
    let error = unpack(&shell, dir.path(), &archive).unwrap_err();
    assert_eq!(error, FileError::InvalidArchive);
    assert_eq!(content(dir.path()), Vec::<String>::new());
}

#[test]
fn no_archive_leads_out_of_its_directory() {
    let (shell, dir) = (Shell::boot(), directory());
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    open_to_all(&outside);
    let to = dir.path().join("to");
    let out = outside.to_str().unwrap();
    let file = |path: &str| hostile(b'0', path, "", 1, b"x");
    let through_link = [hostile(b'2', "l", out, 0, b""), file("l/f")].concat();
    let replaced = [hostile(b'5', "d/", "", 0, b""), hostile(b'2', "d", out, 0, b""), file("d/f")];
    let refused = [
        file("../outside/f"),
        file("a/../../outside/f"),
        through_link,
        hostile(b'3', "device", "", 0, b""),
        hostile(b'6', "fifo", "", 0, b""),
        hostile(b'1', "hard", "../outside/f", 0, b""),
        [file("self"), hostile(b'1', "self", "self", 0, b"")].concat(),
        file("f")[..512].to_vec(),
        b"not an archive, but long enough to be taken for one".repeat(20),
    ];
    for archive in refused {
        let error = unpack(&shell, &to, &archive).unwrap_err();
        assert!(matches!(error, FileError::InvalidArchive), "{error:?}");
    }
    assert_eq!(unpack(&shell, &to, &replaced.concat()).unwrap_err(), FileError::NotAFile);
    let absolute = format!("{out}/absolute");
    unpack(&shell, &to, &ended(file(&absolute))).unwrap();
    assert!(to.join(&absolute[1..]).is_file());
    assert!(content(&outside).is_empty());
    assert!(content(&to).iter().all(|name| !name.ends_with(".part") && name != "f"));
}

#[test]
fn a_refusal_names_the_entry() {
    let (shell, dir) = (Shell::boot(), directory());
    std::fs::create_dir(dir.path().join("d")).unwrap();
    open_to_all(&dir.path().join("d"));
    std::fs::write(dir.path().join("f"), "x").unwrap();
    let file = |path: &str| hostile(b'0', path, "", 1, b"x");
    let long = "n".repeat(300);
    let cut = format!(r#""{}…": it is no file, directory or link"#, "n".repeat(256));
    for (archive, error, message) in [
        (file("a/../b"), FileError::InvalidArchive, r#""a/../b": a path with .. is refused"#),
        (file("d"), FileError::NotAFile, r#""d": it is a directory"#),
        (
            hostile(b'1', "h", "none/x", 0, b""),
            FileError::InvalidArchive,
            r#""h": it is a hard link to a file that is not there"#,
        ),
        (
            hostile(b'1', "h", "f/x", 0, b""),
            FileError::NotADirectory,
            r#""h": a part of the path is not a directory"#,
        ),
        (
            [hostile(b'L', "long", "", 300, long.as_bytes()), hostile(b'6', "p", "", 0, b"")]
                .concat(),
            FileError::InvalidArchive,
            &cut,
        ),
        (
            hostile(b'6', "p", "", 0, b""),
            FileError::InvalidArchive,
            r#""p": it is no file, directory or link"#,
        ),
    ] {
        let mut transfer = Transfer::open(&shell, FileAction::Unpack { gzip: false }, dir.path());
        assert_eq!(transfer.reply(), Reply::Ready);
        transfer.piece(&ended(archive));
        let message = format!("the archive can't be unpacked: {message}");
        assert_eq!(transfer.reply(), Reply::Failed { error, message });
    }
}

#[test]
fn a_link_that_replaces_a_directory_in_a_loop_never_leads_an_archive_outside() {
    let (shell, dir) = (Shell::boot(), directory());
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    open_to_all(&outside);
    let to = dir.path().join("to");
    let swap = format!(
        "cd {} && while :; do rm -rf to/d; ln -s ../outside to/d 2>/dev/null; rm -f to/d; \
         mkdir -p to/d 2>/dev/null; done",
        dir.path().display()
    );
    let mut swapping = shell.connect();
    swapping.send(&Request::Start(sh("job_swap", &swap)));
    assert_eq!(swapping.next(), Event::Started);
    let archive = hostile(b'0', "d/f", "", 1, b"x");
    for _ in 0..200 {
        // Either result is fine.
        let _ = unpack(&shell, &to, &archive);
        let mut pack = Transfer::open(&shell, FileAction::Pack { gzip: false }, &to);
        let _ = pack.pieces();
    }
    assert!(content(&outside).is_empty());
    shell.ask(Request::Cancel { job_id: "job_swap".into() });
}

#[test]
fn an_archive_header_can_not_take_the_memory_of_the_shell() {
    let (shell, dir) = (Shell::boot(), directory());
    let mut transfer = Transfer::open(&shell, FileAction::Unpack { gzip: false }, dir.path());
    assert_eq!(transfer.reply(), Reply::Ready);
    transfer.piece(&hostile(b'L', "././@LongLink", "", 8 << 30, b""));
    let name = vec![b'x'; files::MAX_PIECE_BYTES];
    // The process has 256 MiB of addresses, which take less than 300 MiB of a name.
    for _ in 0..1200 {
        let head = piece_head(name.len());
        if transfer.0.write_all(&head).and_then(|()| transfer.0.write_all(&name)).is_err() {
            break;
        }
    }
    assert_eq!(transfer.failure(), FileError::InvalidArchive);
}

#[test]
fn the_comment_of_an_archive_of_git_is_ignored() {
    let (shell, dir) = (Shell::boot(), directory());
    let comment = b"52 comment=0123456789012345678901234567890123456789\n";
    let global = hostile(b'g', "pax_global_header", "", comment.len() as u64, comment);
    let archive = ended([global, hostile(b'0', "file", "", 1, b"x")].concat());
    unpack(&shell, dir.path(), &archive).unwrap();
    assert_eq!(content(dir.path()), ["file"]);
}

#[test]
fn every_format_of_tar_is_unpacked() {
    let (shell, dir) = (Shell::boot(), directory());
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(source.path().join("tree/empty")).unwrap();
    std::fs::write(source.path().join("tree/file"), "content").unwrap();
    std::fs::hard_link(source.path().join("tree/file"), source.path().join("tree/same")).unwrap();
    symlink("file", source.path().join("tree/link")).unwrap();
    for format in ["v7", "oldgnu", "gnu", "ustar", "posix"] {
        let mut tar = std::process::Command::new("tar");
        tar.args(["--format", format, "-C"]).arg(source.path()).args(["-cf", "-", "tree"]);
        let archive = tar.output().expect("tar is installed").stdout;
        let to = dir.path().join(format);
        unpack(&shell, &to, &archive).unwrap();
        assert!(to.join("tree/empty").is_dir(), "{format}");
        for name in ["file", "same", "link"] {
            let read = std::fs::read_to_string(to.join("tree").join(name));
            assert_eq!(read.unwrap(), "content", "{format}: {name}");
        }
    }
}

#[test]
fn times_in_posix_format_keep_their_sign_and_fraction() {
    let (shell, dir) = (Shell::boot(), directory());
    let source = tempfile::tempdir().unwrap();
    let before_1970 = std::time::UNIX_EPOCH - std::time::Duration::from_millis(300_000_000_750);
    let now = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
    for (name, time) in [("old", before_1970), ("new", now)] {
        let file = std::fs::File::create(source.path().join(name)).unwrap();
        file.set_modified(time).unwrap();
    }
    let mut tar = std::process::Command::new("tar");
    tar.args(["--format=posix", "-C"]).arg(source.path()).args(["-cf", "-", "old", "new"]);
    let archive = tar.output().expect("tar is installed").stdout;
    unpack(&shell, dir.path(), &archive).unwrap();
    for (name, time) in [("old", before_1970), ("new", now)] {
        let found = std::fs::metadata(dir.path().join(name)).unwrap().modified().unwrap();
        assert_eq!(found, time, "{name}");
    }
}

#[test]
fn a_sparse_file_of_tar_is_whole() {
    let (shell, dir) = (Shell::boot(), directory());
    let source = tempfile::tempdir().unwrap();
    let sparse = std::fs::File::create(source.path().join("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 1 << 20).unwrap();
    for format in ["gnu", "oldgnu"] {
        let mut tar = std::process::Command::new("tar");
        tar.args(["-S", "--format", format, "-C"]).arg(source.path()).args(["-cf", "-", "sparse"]);
        let archive = tar.output().expect("tar is installed").stdout;
        assert!(archive.len() < 1 << 20, "it is not sparse");
        unpack(&shell, &dir.path().join(format), &archive).unwrap();
        let written = std::fs::read(dir.path().join(format).join("sparse")).unwrap();
        assert_eq!(written, std::fs::read(source.path().join("sparse")).unwrap());
    }
}
