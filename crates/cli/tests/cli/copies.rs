//! `cp` with a real server and a real shell, where this host supports them.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Child, Command, Stdio},
    sync::LazyLock,
};

use tempfile::TempDir;

use crate::server::Server;

impl Server {
    /// Copies, and returns the exit code and what was printed.
    fn cp(&self, args: &[&str], dir: &Path) -> (Option<i32>, String) {
        let args: Vec<String> = args.iter().map(|arg| arg.replace("SHELL", &self.shell)).collect();
        let args: Vec<&str> = ["cp"].into_iter().chain(args.iter().map(String::as_str)).collect();
        let ran = self.run(&args, dir);
        let printed = [ran.stdout, ran.stderr].concat();
        (ran.status.code(), String::from_utf8(printed).expect("UTF-8"))
    }
}

/// A directory with a file of each kind.
fn tree() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("sub/empty")).expect("directories");
    fs::write(tree.join("run"), "#!/bin/sh\n").expect("a file");
    fs::set_permissions(tree.join("run"), fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::write(tree.join("sub/data"), vec![7; 1_000_000]).expect("a file");
    symlink("sub/data", tree.join("link")).expect("a link");
    dir
}

static OK: LazyLock<(Option<i32>, String)> = LazyLock::new(|| (Some(0), String::new()));

#[test]
fn files_and_trees_are_copied_as_by_cp() {
    let (Some(server), local) = (Server::up(), tree()) else { return };
    let dir = local.path();
    assert_eq!(server.cp(&["tree/run", "SHELL:"], dir), *OK);
    assert_eq!(server.cp(&["tree/run", "SHELL:new/dir/name"], dir), *OK);
    assert_eq!(server.cp(&["tree/run", "SHELL:new/dir"], dir), *OK);
    assert_eq!(
        server.exec("stat -c '%n %a' run new/dir/*"),
        "run 755\nnew/dir/name 755\nnew/dir/run 755\n"
    );
    assert_eq!(server.cp(&["-r", "tree", "SHELL:copy"], dir), *OK);
    assert_eq!(server.cp(&["-r", "tree", "SHELL:copy"], dir), *OK);
    assert_eq!(server.cp(&["-r", "tree/.", "SHELL:flat"], dir), *OK);
    let listed = server.exec("for d in copy copy/tree flat; do cd ~/$d; ls | tr '\\n' ' '; done");
    assert_eq!(listed, "link run sub tree link run sub link run sub ");
    assert_eq!(server.cp(&["-r", "SHELL:flat", "back"], dir), *OK);
    assert_eq!(server.cp(&["-r", "SHELL:flat", "back"], dir), *OK);
    let same = Command::new("diff").args(["-r", "tree", "back/flat"]).current_dir(dir).status();
    assert!(same.expect("diff runs").success());
    let mode = fs::metadata(dir.join("back/run")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(fs::read_link(dir.join("back/link")).expect("a link"), Path::new("sub/data"));
    assert_eq!(server.cp(&["SHELL:flat/run", "."], dir), *OK);
    assert_eq!(fs::read(dir.join("run")).expect("a file"), b"#!/bin/sh\n");
}

#[test]
fn a_directory_that_is_read_only_is_copied_and_merged() {
    let (Some(server), local) = (Server::up(), tree()) else { return };
    let dir = local.path();
    server.exec("mkdir -p d/ro/sub d/both && touch d/ro/sub/f d/both/f && chmod -R a-w d/ro");
    fs::create_dir_all(dir.join("to/d/both")).expect("directories");
    assert_eq!(server.cp(&["-r", "SHELL:d", "to"], dir), *OK);
    assert!(dir.join("to/d/ro/sub/f").is_file() && dir.join("to/d/both/f").is_file());
    let mode = fs::metadata(dir.join("to/d/ro")).expect("a directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o555);
    // A directory is in the way of a file: nothing but what was there stays beside it.
    server.exec("mkdir -p x/ro/sub && chmod a-w x/ro && touch x/f");
    fs::create_dir_all(dir.join("x/f")).expect("directories");
    let (code, message) = server.cp(&["-r", "SHELL:x/.", "x"], dir);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("x/f: "), "{message}");
    let names = |path: &Path| -> Vec<_> {
        fs::read_dir(path).expect("a directory").map(|e| e.expect("an entry").file_name()).collect()
    };
    assert!(names(dir).iter().all(|name| name == "tree" || name == "to" || name == "x"));
    // The test removes its directory without being root.
    for ro in ["to/d/ro", "to/d/ro/sub", "x/ro", "x/ro/sub"] {
        let _may_be_missing = fs::set_permissions(dir.join(ro), fs::Permissions::from_mode(0o755));
    }
}

#[test]
fn pipes_are_copied() {
    let (Some(server), local) = (Server::up(), tree()) else { return };
    let target = format!("{}:piped", server.shell);
    let mut upload = server.command(&["cp", "-", &target], local.path());
    let mut upload = upload.stdin(Stdio::piped()).spawn().expect("it runs");
    upload.stdin.take().expect("a pipe").write_all(b"through a pipe").expect("it reads");
    assert!(upload.wait().expect("it ends").success());
    let ran = server.run(&["cp", &target, "-"], local.path());
    assert_eq!((ran.status.code(), ran.stdout.as_slice()), (Some(0), b"through a pipe".as_slice()));
    let mut full = server.command(&["cp", &target, "-"], local.path());
    let full = full.stdout(fs::File::create("/dev/full").expect("a device")).output();
    assert_eq!(full.expect("it runs").status.code(), Some(1));
    assert_eq!(server.cp(&["SHELL:piped", "/dev/null"], local.path()), *OK);
    assert!(fs::metadata("/dev/null").is_ok_and(|found| !found.is_file()), "it was replaced");
}

#[test]
fn errors_name_the_place_and_what_to_do() {
    let (Some(server), local) = (Server::up(), tree()) else { return };
    let dir = local.path();
    let shell = server.shell.as_str();
    server.exec("mkdir dir");
    for (args, code, message) in [
        (
            ["SHELL:none", "."].as_slice(),
            3,
            format!("error: {shell}:none: no such file or directory\n"),
        ),
        (&["SHELL:/root/x", "."], 4, format!("error: {shell}:/root/x: permission denied\n")),
        (
            &["SHELL:dir", "."],
            1,
            format!("error: {shell}:dir: it is a directory. hint: copy it with -r\n"),
        ),
        (&["tree", "SHELL:"], 2, "error: tree is a directory. hint: copy it with -r\n".to_owned()),
        (&["tree/run", "SHELL:/etc/x"], 4, format!("error: {shell}:/etc/x: permission denied\n")),
        (
            &["none", "SHELL:"],
            1,
            "error: can't read none: No such file or directory (os error 2)\n".to_owned(),
        ),
    ] {
        assert_eq!(server.cp(args, dir), (Some(code), message), "{args:?}");
    }
    for places in [["a", "b"], ["SHELL:a", "SHELL:b"], ["-", "-"]] {
        assert_eq!(server.cp(&places, dir).0, Some(2), "{places:?}");
    }
}

#[test]
fn a_copy_that_is_interrupted_leaves_nothing_on_either_side() {
    let (Some(server), local) = (Server::up(), tree()) else { return };
    server.exec("echo old > file; head -c 300000000 /dev/zero > large");
    let target = format!("{}:file", server.shell);
    let mut upload = server.command(&["cp", "-", &target], local.path());
    let mut upload = upload.stdin(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = upload.stdin.take().expect("a pipe");
    stdin.write_all(&vec![0; 1 << 20]).expect("it reads");
    while !server.exec("ls -A").contains(".part") {}
    interrupt(&upload);
    assert_eq!(upload.wait().expect("it ends").code(), Some(130));
    while server.exec("ls -A").contains(".part") {}
    assert_eq!(server.exec("cat file"), "old\n");

    let source = format!("{}:large", server.shell);
    let into = local.path().join("into");
    fs::create_dir(&into).expect("a directory");
    let mut download = server.command(&["cp", &source, "."], &into);
    let mut download = download.spawn().expect("it runs");
    while fs::read_dir(&into).expect("a directory").count() == 0
        && download.try_wait().expect("its state").is_none()
    {}
    interrupt(&download);
    let code = download.wait().expect("it ends").code();
    let left: Vec<_> = fs::read_dir(&into).expect("a directory").collect();
    // A fast machine may have copied everything.
    let is_whole =
        || fs::metadata(into.join("large")).is_ok_and(|found| found.len() == 300_000_000);
    assert!((code == Some(130) && left.is_empty()) || (code == Some(0) && is_whole()), "{left:?}");
}

fn interrupt(child: &Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
}
