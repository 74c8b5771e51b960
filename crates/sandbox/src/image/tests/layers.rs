//! What a layer does to the tree below it.

use super::*;

#[test]
fn layers_add_replace_and_hide() {
    let (dir, done) = apply(&[
        &[Dir("a"), File("a/kept", "1"), File("a/hidden", "1"), Dir("b"), File("b/old", "1")],
        &[
            File("a/kept", "2"),
            File("a/.wh.hidden", ""),
            File("b/new", "2"),
            File("b/.wh..wh..opq", ""),
        ],
    ]);
    done.unwrap();
    assert_eq!(text(&dir, "a/kept"), "2");
    assert!(!dir.path().join("a/hidden").exists());
    assert!(!dir.path().join("b/old").exists());
    assert_eq!(text(&dir, "b/new"), "2");
}

#[test]
fn a_file_replaces_a_directory_and_the_reverse() {
    let (dir, done) = apply(&[
        &[Dir("x"), File("x/y", ""), File("z", "")],
        &[File("x", "file"), Dir("z"), File("z/in", "dir")],
    ]);
    done.unwrap();
    assert_eq!(text(&dir, "x"), "file");
    assert_eq!(text(&dir, "z/in"), "dir");
}

#[test]
fn a_link_out_of_the_image_stops_at_its_root() {
    let outside = tempfile::tempdir().unwrap();
    let target: &'static str = outside.path().to_str().unwrap().to_owned().leak();
    let (dir, done) = apply(&[
        &[Dir("tmp"), Link("out", target), Link("up", "../../../../../tmp")],
        &[File("out/file", "caught"), File("up/file", "caught")],
    ]);
    done.unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // A link whose target does not exist in the image is replaced by a directory.
    assert_eq!(text(&dir, "out/file"), "caught");
    assert_eq!(text(&dir, "tmp/file"), "caught");
}

#[test]
fn a_layer_may_write_through_a_link_inside_the_image() {
    let (dir, done) =
        apply(&[&[Dir("usr"), Dir("usr/lib"), Link("lib", "usr/lib")], &[File("lib/a", "1")]]);
    done.unwrap();
    assert_eq!(text(&dir, "usr/lib/a"), "1");
}

#[test]
fn a_path_with_dot_dot_is_rejected() {
    for path in ["../evil", "a/../../evil", "/../evil"] {
        let (_dir, done) = apply(&[&[Dir("a"), File(path, "evil")]]);
        assert!(matches!(done, Err(ImageError::Damaged(_))), "{path}: {done:?}");
    }
}

#[test]
fn a_hard_link_stays_inside_the_image() {
    let (dir, done) = apply(&[&[File("a", "1"), Hard("b", "/a")]]);
    done.unwrap();
    assert_eq!(text(&dir, "b"), "1");
    let (_dir, done) = apply(&[&[Hard("shadow", "/etc/shadow")]]);
    assert!(matches!(done, Err(ImageError::Damaged(_))), "{done:?}");
}

#[test]
fn devices_are_skipped_and_setuid_bits_removed() {
    let (dir, done) = apply(&[&[Device("sda"), File("su", "1")]]);
    done.unwrap();
    assert!(!dir.path().join("sda").exists());
    let found = fs::metadata(dir.path().join("su")).unwrap();
    assert_eq!(found.permissions().mode() & 0o7777, 0o755);
    assert_eq!(found.mtime(), 1_000_000_000);
}

#[test]
fn an_opaque_marker_hides_lower_entries_wherever_it_stands() {
    let lower: &[Item] = &[
        Dir("a"),
        Dir("a/b"),
        File("a/b/old", "1"),
        File("a/old", "1"),
        Dir("a/gone"),
        File("a/gone/x", "1"),
    ];
    let entries = || vec![Dir("a"), Dir("a/b"), File("a/b/new", "2"), File("a/new", "2")];
    for position in 0..=4 {
        let mut upper = entries();
        upper.insert(position, File("a/.wh..wh..opq", ""));
        let (dir, done) = apply(&[lower, &upper]);
        done.unwrap();
        for old in ["a/b/old", "a/old", "a/gone"] {
            assert!(!dir.path().join(old).exists(), "{old} with the marker at {position}");
        }
        assert_eq!((text(&dir, "a/b/new"), text(&dir, "a/new")), ("2".into(), "2".into()));
    }
}

#[test]
fn an_opaque_marker_keeps_what_its_layer_adds_below_directories_that_it_does_not_name() {
    let (dir, done) = apply(&[
        &[Dir("a"), Dir("a/b"), File("a/b/old", "1")],
        &[File("a/b/new", "2"), File("a/.wh..wh..opq", "")],
    ]);
    done.unwrap();
    assert_eq!(text(&dir, "a/b/new"), "2");
    assert!(!dir.path().join("a/b/old").exists());
}

#[test]
fn a_whiteout_of_a_directory_that_the_layer_makes_again_hides_only_what_was_below() {
    for marker_first in [true, false] {
        let mut upper = vec![Dir("d"), File("d/new", "2")];
        upper.insert(if marker_first { 0 } else { 2 }, File(".wh.d", ""));
        let (dir, done) = apply(&[&[Dir("d"), File("d/old", "1")], &upper]);
        done.unwrap();
        assert_eq!(text(&dir, "d/new"), "2");
        assert!(!dir.path().join("d/old").exists());
    }
}

#[test]
fn a_whiteout_of_a_name_that_leads_elsewhere_is_rejected() {
    for path in [".wh.", ".wh..", ".wh...", "a/.wh...", "a/.wh.."] {
        let (dir, done) = apply(&[&[Dir("a"), File("a/kept", "1")], &[File(path, "")]]);
        assert!(matches!(done, Err(ImageError::Damaged(_))), "{path}: {done:?}");
        assert_eq!(text(&dir, "a/kept"), "1");
    }
}

#[test]
fn files_of_aufs_are_skipped() {
    let (dir, done) =
        apply(&[&[Dir(".wh..wh.plnk"), File(".wh..wh.plnk/1.2", ""), File(".wh..wh.aufs", "")]]);
    done.unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_named_pipe_is_kept() {
    use std::os::unix::fs::FileTypeExt;
    let (dir, done) = apply(&[&[Fifo("pipe"), Hard("same", "pipe")]]);
    done.unwrap();
    assert!(fs::symlink_metadata(dir.path().join("pipe")).unwrap().file_type().is_fifo());
    assert!(fs::symlink_metadata(dir.path().join("same")).unwrap().file_type().is_fifo());
}

#[test]
fn times_of_directories_and_links_are_kept() {
    let (dir, done) = apply(&[&[Dir("d"), File("d/f", ""), Link("l", "d/f")]]);
    done.unwrap();
    for name in ["d", "d/f", "l"] {
        assert_eq!(
            fs::symlink_metadata(dir.path().join(name)).unwrap().mtime(),
            1_000_000_000,
            "{name}"
        );
    }
}

/// A layer made by GNU tar with these options, from a directory that `make` fills.
fn by_tar(options: &[&str], make: impl FnOnce(&Path)) -> Vec<u8> {
    let source = tempfile::tempdir().unwrap();
    make(source.path());
    let output = std::process::Command::new("tar")
        .args(options)
        .args(["-cf", "-", "-C"])
        .arg(source.path())
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn unpack(tar: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    layer::apply(Box::new(tar), &Tree::open(dir.path()).unwrap()).unwrap();
    dir
}

#[test]
fn sparse_files_and_long_names_of_each_format_are_unpacked() {
    let long = "n".repeat(200);
    for options in [["--format=gnu", "--sparse"], ["--format=posix", "--sparse"]] {
        let tar = by_tar(&options, |source| {
            let deep = source.join(format!("{long}/{long}"));
            fs::create_dir_all(&deep).unwrap();
            fs::write(deep.join("file"), "deep").unwrap();
            std::os::unix::fs::symlink(&long, source.join("link")).unwrap();
            let mut file = fs::File::create(source.join("sparse")).unwrap();
            for part in ["start", "middle", "end"] {
                file.write_all(part.as_bytes()).unwrap();
                std::io::Seek::seek(&mut file, std::io::SeekFrom::Current(3 << 20)).unwrap();
            }
            file.set_len(10 << 20).unwrap();
        });
        let dir = unpack(&tar);
        assert_eq!(text(&dir, &format!("link/{long}/file")), "deep");
        let sparse = fs::read(dir.path().join("sparse")).unwrap();
        assert_eq!(sparse.len(), 10 << 20);
        let at = |offset: usize, text: &str| sparse[offset..].starts_with(text.as_bytes());
        assert!(
            at(0, "start") && at((3 << 20) + 5, "middle") && at((6 << 20) + 11, "end"),
            "{options:?}"
        );
        assert_eq!(sparse.iter().filter(|byte| **byte != 0).count(), 14);
    }
}

#[test]
fn attributes_of_users_are_kept_and_those_that_change_an_overlay_are_not() {
    let mut tar = Builder::new(Vec::new());
    let records: [(&str, &[u8]); 4] = [
        ("SCHILY.xattr.user.mime", b"text/plain"),
        ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("mtime", b"1234567890.75"),
    ];
    tar.append_pax_extensions(records).unwrap();
    let mut header = header(EntryType::Regular, "file", 0);
    header.set_cksum();
    tar.append(&header, std::io::empty()).unwrap();
    let dir = unpack(&tar.into_inner().unwrap());
    let path = dir.path().join("file");
    assert_eq!(fs::metadata(&path).unwrap().mtime(), 1_234_567_890);
    let mut names = [0; 256];
    match rustix::fs::listxattr(&path, &mut names) {
        Ok(length) if length > 0 => assert_eq!(&names[..length], b"user.mime\0"),
        _ => println!("SKIPPED: the file system of temporary files has no extended attributes"),
    }
}
