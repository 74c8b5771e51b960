//! Programs that can't be executed, and scripts without a `#!` line.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use runner::protocol::{Cause, Start};
use tempfile::TempDir;

use crate::shell::{Ran, Shell, argv, is_root, sh};

/// Writes an executable file into a world-readable directory.
fn program(dir: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

fn run(path: &Path) -> Ran {
    Shell::boot().run(argv("job_1", &[path.to_str().unwrap(), "an argument"]))
}

/// The message of an exit for which shells use the code 126.
fn not_executable(ran: &Ran) -> &str {
    let Cause::SpawnFailed { message, not_executable: true } = &ran.exit.cause else {
        panic!("{:?}", ran.exit)
    };
    message
}

#[test]
fn a_missing_interpreter_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = program(&dir, "script", b"#! /bin/nope -x\necho hi\n");
    let ran = run(&path);
    let expected =
        format!("cannot execute {}: its interpreter /bin/nope does not exist", path.display());
    assert_eq!(not_executable(&ran), expected);
    assert!(!ran.started);
}

#[test]
fn a_missing_loader_of_a_compiled_program_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut elf = fs::read("/bin/true").unwrap();
    let loader = b"/lib64/ld-linux";
    let Some(at) = elf.windows(loader.len()).position(|part| part == loader) else {
        return println!("SKIPPED: this is not an x86-64 host");
    };
    elf[at + 1..at + 4].copy_from_slice(b"no-");
    let ran = run(&program(&dir, "program", &elf));
    let message = not_executable(&ran);
    assert!(message.contains("its interpreter /no-64/ld-linux"), "{message}");
}

#[test]
fn a_script_without_a_shebang_runs_by_sh() {
    let dir = tempfile::tempdir().unwrap();
    let path = program(&dir, "script", b"echo \"$0 $1\"; exit 3\n");
    let ran = run(&path);
    assert_eq!((ran.text(), ran.code()), (&*format!("{} an argument\n", path.display()), 3));
    // The same by a search in PATH.
    let env = vec![("PATH".to_owned(), dir.path().display().to_string())];
    let ran = Shell::boot().run(Start { env, ..argv("job_1", &["script", "x"]) });
    assert_eq!((ran.text(), ran.code()), (&*format!("{} x\n", path.display()), 3));
}

#[test]
fn a_directory_and_a_file_without_permission_can_not_be_executed() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let ran = run(dir.path());
    assert_eq!(
        not_executable(&ran),
        format!("cannot execute {}: it is a directory", dir.path().display())
    );
    let ran = run(Path::new("/etc/passwd"));
    assert!(not_executable(&ran).starts_with("cannot execute /etc/passwd: permission denied"));
}

#[test]
fn a_program_for_another_machine_is_not_run_as_a_script() {
    let dir = tempfile::tempdir().unwrap();
    let mut elf = fs::read("/bin/true").unwrap();
    // The field e_machine: s390.
    elf[18..20].copy_from_slice(&[22, 0]);
    let path = program(&dir, "program", &elf);
    let ran = run(&path);
    let expected =
        format!("cannot execute {}: it is not a program for this machine", path.display());
    assert_eq!(not_executable(&ran), expected);
}

#[test]
fn a_relative_program_is_found_in_the_working_directory() {
    let dir = tempfile::tempdir().unwrap();
    program(&dir, "script", b"#!/bin/nope\n");
    let start = argv("job_1", &["./script"]);
    let ran = Shell::boot().run(Start { cwd: Some(dir.path().display().to_string()), ..start });
    assert!(not_executable(&ran).contains("/bin/nope"), "{ran:?}");
}

#[test]
fn a_command_line_finds_sh_whatever_path_is() {
    let env = vec![("PATH".to_owned(), "/nonexistent".to_owned())];
    let ran = Shell::boot().run(Start { env, ..sh("job_1", "echo hi") });
    assert_eq!(ran.text(), "hi\n");
}

#[test]
fn an_image_without_sh_asks_for_an_array() {
    if !is_root() {
        return println!("SKIPPED: needs root for another root directory");
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["etc", "dev", "proc", "jobs"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("etc/passwd"), "nobody:x:65534:65534::/:/bin/sh\n").unwrap();
    let Some(shell) = Shell::boot_in_root(dir) else { return };
    let ran = shell.run(sh("job_1", "echo hi"));
    let Cause::NotFound { message } = &ran.exit.cause else { panic!("{ran:?}") };
    assert_eq!(
        message,
        "this image has no /bin/sh: send an array of the program and its arguments"
    );
}

#[test]
fn a_line_that_prefers_bash_runs_by_bash_where_the_image_has_it() {
    let shell = Shell::boot();
    let line = "echo ${0##*/} ${BASH_VERSION:+found}";
    assert_eq!(shell.run(sh("job_1", line)).text(), "sh\n");
    let ran = shell.run(Start { prefer_bash: true, ..sh("job_2", line) });
    let has_bash = ["/bin/bash", "/usr/bin/bash"].iter().any(|path| Path::new(path).exists());
    assert_eq!(ran.text(), if has_bash { "bash found\n" } else { "sh\n" });
}
