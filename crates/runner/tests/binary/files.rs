//! Reading and changing files over a connection.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use runner::protocol::files::{
    self, FileAction, FileError, FileKind, FrameKind, FromCaller, Reply,
};
use runner::protocol::{Event, MAX_TRANSFERS};
use rustix::fs::{CWD, Mode, OFlags, fchmod, mkdirat, openat, symlinkat};

use crate::shell::{Shell, is_root};

mod archives;
mod transfer;

use transfer::{Transfer, content, directory, list, names, read, send, wait_until, write};

#[test]
fn a_file_is_written_read_listed_and_removed_as_the_user() {
    for shell in Shell::boot_both() {
        let dir = directory();
        let path = dir.path().join("a/b/file");
        let bytes: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
        assert!(write(&shell, &path, &bytes).unwrap().created);
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!((found.len(), found.mode() & 0o7777), (700_000, 0o644));
        if is_root() {
            assert_ne!(found.uid(), 0);
        }
        assert_eq!(read(&shell, &path).unwrap(), bytes);
        let (entries, done) = list(&shell, dir.path(), 3, 100);
        assert_eq!(names(&entries), ["a", "a/b", "a/b/file"]);
        assert!(!done.truncated);
        let remove = |recursive, path: &Path| {
            Transfer::open(&shell, FileAction::Remove { recursive }, path).reply()
        };
        let refused = remove(false, &dir.path().join("a"));
        assert!(matches!(refused, Reply::Failed { error: FileError::NotEmpty, .. }), "{refused:?}");
        assert!(matches!(remove(true, &dir.path().join("a")), Reply::Done(_)));
        assert!(content(dir.path()).is_empty());
    }
}

#[test]
fn a_tree_of_any_depth_is_removed_and_no_link_in_it_is_followed() {
    let (shell, dir) = (Shell::boot(), directory());
    std::fs::write(dir.path().join("kept"), "x").unwrap();
    let any = Mode::from_raw_mode(0o777);
    let open = |from: BorrowedFd<'_>, name: &Path| {
        openat(from, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
    };
    let mut deepest = open(CWD, dir.path());
    for _ in 0..3000 {
        mkdirat(&deepest, "d", any).unwrap();
        deepest = open(deepest.as_fd(), Path::new("d"));
        // Whatever the umask.
        fchmod(&deepest, any).unwrap();
    }
    symlinkat(dir.path(), &deepest, "link").unwrap();
    let path = dir.path().join("d");
    let removed = Transfer::open(&shell, FileAction::Remove { recursive: true }, &path).reply();
    assert!(matches!(removed, Reply::Done(_)), "{removed:?}");
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["kept"]);
}

#[test]
fn a_directory_that_is_named_by_itself_keeps_its_content() {
    let (shell, dir) = (Shell::boot(), directory());
    let path = dir.path().join("a/file");
    write(&shell, &path, b"x").unwrap();
    let remove = FileAction::Remove { recursive: true };
    for name in ["a/.", "a/./", "a/..", "."] {
        let refused = Transfer::open(&shell, remove, dir.path().join(name)).failure();
        assert_eq!(refused, FileError::InvalidPath, "{name}");
    }
    for path in [b"/".as_slice(), b"//", b"/..", b"."] {
        assert_eq!(Transfer::request(&shell, remove, path, 1000).failure(), FileError::InvalidPath);
    }
    symlink("a", dir.path().join("link")).unwrap();
    for name in ["link/", "link//", "a/file/"] {
        for recursive in [false, true] {
            let remove = FileAction::Remove { recursive };
            let refused = Transfer::open(&shell, remove, dir.path().join(name)).failure();
            assert_eq!(refused, FileError::NotADirectory, "{name}");
        }
    }
    assert_eq!(read(&shell, &path).unwrap(), b"x");
    for name in ["link", "a//"] {
        let reply = Transfer::open(&shell, remove, dir.path().join(name)).reply();
        assert!(matches!(reply, Reply::Done(_)), "{name}: {reply:?}");
        assert!(dir.path().join("a").exists() == (name == "link"), "{name}");
    }
}

#[test]
fn a_part_of_a_file_is_sent() {
    let (shell, dir) = (Shell::boot(), directory());
    let path = dir.path().join("file");
    write(&shell, &path, b"0123456789").unwrap();
    let mut transfer = Transfer::open(&shell, FileAction::Read, &path);
    assert!(matches!(transfer.reply(), Reply::Found(found) if found.size == 10));
    transfer.message(FromCaller::Send { offset: 3, length: 4 });
    assert_eq!(transfer.pieces().0, b"3456");
}

#[test]
fn an_upload_that_breaks_leaves_the_old_file_and_nothing_else() {
    let (shell, dir) = (Shell::boot(), directory());
    let path = dir.path().join("file");
    write(&shell, &path, b"old").unwrap();
    let mut transfer = Transfer::open(&shell, FileAction::Write { mode: None }, &path);
    assert_eq!(transfer.reply(), Reply::Ready);
    transfer.piece(b"half of the ne");
    drop(transfer);
    wait_until(|| content(dir.path()) == ["file"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_caller_that_stalls_is_left_after_its_time() {
    let (shell, dir) = (Shell::boot(), directory());
    let path = dir.path().join("file");
    let action = FileAction::Write { mode: None };
    let mut transfer = Transfer::request(&shell, action, path.as_os_str().as_encoded_bytes(), 200);
    assert_eq!(transfer.reply(), Reply::Ready);
    transfer.piece(b"half");
    assert_eq!(transfer.pieces(), (Vec::new(), None));
    assert!(content(dir.path()).is_empty());
}

#[test]
fn a_replaced_file_keeps_its_mode_unless_another_is_given() {
    let (shell, dir) = (Shell::boot(), directory());
    let path = dir.path().join("file");
    let with_mode = |mode| {
        let transfer = Transfer::open(&shell, FileAction::Write { mode }, &path);
        send(transfer, b"x").unwrap();
        std::fs::metadata(&path).unwrap().mode() & 0o7777
    };
    assert_eq!(with_mode(Some(0o750)), 0o750);
    assert_eq!(with_mode(None), 0o750);
    assert_eq!(with_mode(Some(0o600)), 0o600);
}

#[test]
fn a_symbolic_link_is_followed_and_stays() {
    let (shell, dir) = (Shell::boot(), directory());
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    write(&shell, &target, b"old").unwrap();
    symlink("target", &link).unwrap();
    assert!(!write(&shell, &link, b"new").unwrap().created);
    assert_eq!(std::fs::read(&target).unwrap(), b"new");
    assert!(link.is_symlink());
}

#[test]
fn what_is_no_file_is_refused_and_never_blocks() {
    let (shell, dir) = (Shell::boot(), directory());
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o666),
        0,
    )
    .unwrap();
    assert!(std::fs::metadata(&fifo).unwrap().file_type().is_fifo());
    let special = [fifo.as_path(), dir.path(), Path::new("/dev/zero"), Path::new("/dev/tty")];
    for path in special {
        assert_eq!(read(&shell, path).unwrap_err(), FileError::NotAFile, "{}", path.display());
        assert_eq!(write(&shell, path, b"x").unwrap_err(), FileError::NotAFile);
    }
    let link = dir.path().join("link");
    symlink(&fifo, &link).unwrap();
    assert_eq!(read(&shell, &link).unwrap_err(), FileError::NotAFile);
    for name in ["x/", "x/.", "x/..", "."] {
        let refused = write(&shell, &dir.path().join(name), b"").unwrap_err();
        assert_eq!(refused, FileError::NotAFile, "{name}");
    }
}

#[test]
fn nothing_of_the_runner_can_be_read_through_proc() {
    let shell = Shell::boot();
    for name in ["mem", "environ", "maps", "fd/3", "root/proc/self/environ", "task/self/mem"] {
        let refused = read(&shell, &Path::new("/proc/self").join(name)).unwrap_err();
        let expected = [FileError::NotAFile, FileError::NotFound, FileError::PermissionDenied];
        assert!(expected.contains(&refused), "{name}: {refused:?}");
    }
    let pid = shell.process.id();
    assert!(read(&shell, &PathBuf::from(format!("/proc/{pid}/environ"))).is_err());
    let transfer = Transfer::open(&shell, FileAction::Pack { gzip: false }, "/proc/self");
    assert_eq!(transfer.failure(), FileError::NotAFile);
}

#[test]
fn files_of_others_are_out_of_reach() {
    if !is_root() {
        println!("SKIPPED: the runner has the same user as its commands");
        return;
    }
    let (shell, dir) = (Shell::boot(), directory());
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "root's").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let private = tempfile::tempdir().unwrap();
    let only_root = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(private.path(), only_root).unwrap();
    std::fs::write(private.path().join("file"), "root's").unwrap();
    symlink(private.path().join("file"), dir.path().join("link")).unwrap();
    for path in [secret.clone(), private.path().join("file"), dir.path().join("link")] {
        let refused = read(&shell, &path);
        assert_eq!(refused, Err(FileError::PermissionDenied), "{}", path.display());
    }
    assert_eq!(
        write(&shell, &private.path().join("new"), b"").unwrap_err(),
        FileError::PermissionDenied
    );
    let pack = Transfer::open(&shell, FileAction::Pack { gzip: false }, private.path());
    assert_eq!(pack.failure(), FileError::PermissionDenied);
}

#[test]
fn paths_that_no_system_call_takes_are_refused() {
    let shell = Shell::boot();
    let long = [b'x'; 5000];
    let deep = b"x/".repeat(3000);
    let name = [b"/tmp/", [b'x'; 300].as_slice()].concat();
    for path in [b"".as_slice(), b"a\0b", &long, &deep, &name] {
        let transfer = Transfer::request(&shell, FileAction::Read, path, 1000);
        assert_eq!(transfer.failure(), FileError::InvalidPath);
    }
}

#[test]
fn names_may_have_any_byte() {
    use std::os::unix::ffi::OsStrExt;
    let (shell, dir) = (Shell::boot(), directory());
    let name = b"line\nbreak \xff\xfe %20";
    let path = dir.path().join(std::ffi::OsStr::from_bytes(name));
    write(&shell, &path, b"content").unwrap();
    assert_eq!(read(&shell, &path).unwrap(), b"content");
    assert_eq!(list(&shell, dir.path(), 1, 10).0[0].path.0, name);
}

#[test]
fn a_list_is_cut_at_its_limit_and_at_its_depth() {
    let (shell, dir) = (Shell::boot(), directory());
    for n in 0..300 {
        std::fs::write(dir.path().join(format!("f{n:03}")), "").unwrap();
    }
    std::fs::create_dir_all(dir.path().join("d/e/f")).unwrap();
    symlink("/nowhere", dir.path().join("l")).unwrap();
    let (entries, done) = list(&shell, dir.path(), 1, 1000);
    assert_eq!((entries.len(), done.truncated), (302, false));
    let link = entries.iter().find(|entry| entry.path.0 == b"l").unwrap();
    assert_eq!(link.attributes.kind, FileKind::Symlink);
    assert_eq!(link.target.as_ref().unwrap().0, b"/nowhere");
    let (entries, done) = list(&shell, dir.path(), 2, 100);
    assert_eq!((entries.len(), done.truncated), (100, true));
    assert_eq!(names(&list(&shell, &dir.path().join("d"), 2, 100).0), ["e", "e/f"]);
}

fn begin(shell: &Shell, path: &Path) -> Transfer {
    Transfer::open(shell, FileAction::Write { mode: None }, path)
}

/// As many transfers as may run.
fn all_at_once(open: impl Fn(usize) -> Transfer) -> Vec<Transfer> {
    let mut transfers: Vec<Transfer> = (0..MAX_TRANSFERS).map(open).collect();
    transfers.iter_mut().for_each(|transfer| assert_eq!(transfer.reply(), Reply::Ready));
    transfers
}

#[test]
fn only_some_transfers_run_at_once() {
    let (shell, dir) = (Shell::boot(), directory());
    let open = |n: usize| begin(&shell, &dir.path().join(n.to_string()));
    let mut transfers = all_at_once(open);
    let (kind, body) = open(99).frame().unwrap();
    assert_eq!(kind, FrameKind::Event);
    let event: Event = files::decode_message(&body).unwrap();
    assert!(matches!(event, Event::Error { retryable: true, .. }), "{event:?}");
    transfers.clear();
    wait_until(|| matches!(open(1).frame(), Some((FrameKind::Message, _))));
}

#[test]
fn a_transfer_that_was_stopped_does_not_keep_its_place() {
    let (shell, dir) = (Shell::boot(), directory());
    let open = |n: usize| begin(&shell, &dir.path().join(n.to_string()));
    let _transfers = all_at_once(open);
    let children = format!("/proc/{0}/task/{0}/children", shell.process.id());
    let children = std::fs::read_to_string(children).unwrap();
    let children: Vec<&str> = children.split_whitespace().collect();
    assert_eq!(children.len(), MAX_TRANSFERS);
    let stopped = std::process::Command::new("kill").arg("-STOP").args(children).status().unwrap();
    assert!(stopped.success());
    wait_until(|| matches!(open(99).frame(), Some((FrameKind::Message, _))));
}

#[test]
fn a_list_has_no_more_bytes_than_a_caller_can_hold() {
    let (shell, dir) = (Shell::boot(), directory());
    for n in 0..600 {
        symlink("t".repeat(4000), dir.path().join(n.to_string())).unwrap();
    }
    let (entries, done) = list(&shell, dir.path(), 1, 10_000);
    assert!(done.truncated && (200..300).contains(&entries.len()), "{} {done:?}", entries.len());
}

#[test]
fn the_end_of_the_shell_ends_its_transfers() {
    let (shell, dir) = (Shell::boot(), directory());
    let mut transfer =
        Transfer::open(&shell, FileAction::Write { mode: None }, dir.path().join("f"));
    assert_eq!(transfer.reply(), Reply::Ready);
    drop(shell);
    assert_eq!(transfer.pieces(), (Vec::new(), None));
}
