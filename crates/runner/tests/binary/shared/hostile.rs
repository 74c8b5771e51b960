//! Commands that try to confuse the runner.

use std::{fs, path::Path};

use runner::protocol::{Cause, Request};

use super::{ENDED, FOUND, NEW, line};
use crate::shell::Shell;

#[test]
fn a_process_finds_no_descriptor_of_the_runner() {
    for shell in Shell::boot_both() {
        let ran = shell.run(line("job_1", "ls -l /proc/self/fd | grep -c -e '->'"));
        // The three standard streams, and the directory that ls reads.
        assert_eq!(ran.text(), "4\n");
    }
}

#[test]
fn the_files_of_commands_can_be_neither_listed_nor_changed() {
    if !crate::shell::is_root() {
        println!("SKIPPED: without root, commands have the same user as the runner");
        return;
    }
    let shell = Shell::boot();
    let list = "own=$(dirname $(readlink /proc/$$/fd/1)); ls $own; ls $own/..; touch $own/x; \
                rm $own/command; : > $own/command; cat $own/command | grep -c own=";
    let ran = shell.run(line("job_1", list));
    assert_eq!(ran.text(), "1\n", "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8_lossy(&ran.stderr).matches("ermission denied").count(), 5);
}

#[test]
fn a_report_that_is_no_exit_code_ends_the_shell() {
    for shell in Shell::boot_both() {
        // The shell tells its trap the line that it is about to run, with the path of the report.
        let steal = r#"trap 'case $BASH_COMMAND in *"command echo"*) eval "echo 99999 ${BASH_COMMAND#*\?\"}";; esac' DEBUG"#;
        let ran = shell.run(line("job_1", steal));
        let ended = if ran.exit.shell == NEW { shell.run(line("job_2", "true")) } else { ran };
        assert_eq!(ended.exit.cause, Cause::Signalled { signal: libc::SIGKILL });
        assert!(ended.exit.shell.is_some_and(|own| own.has_ended));
        let next = shell.run(line("job_3", "echo $?"));
        assert_eq!((next.text(), next.exit.shell), ("0\n", NEW));
    }
}

#[test]
fn a_shell_that_can_open_nothing_ends_instead_of_hanging() {
    for shell in Shell::boot_both() {
        shell.run(line("job_1", "x=1"));
        let ran = shell.run(line("job_2", "ulimit -n 0"));
        assert_eq!(ran.exit.shell, ENDED, "{ran:?}");
        assert_eq!(shell.run(line("job_3", "echo ${x-none}")).text(), "none\n");
    }
}

#[test]
fn closing_every_descriptor_ends_only_the_shell() {
    for shell in Shell::boot_both() {
        shell.run(line("job_1", "x=1"));
        let close = "for fd in $(seq 3 300); do eval \"exec $fd>&-\"; done; echo closed";
        let ran = shell.run(line("job_2", close));
        assert_eq!((ran.text(), ran.exit.shell.is_some()), ("closed\n", true), "{ran:?}");
        let next = shell.run(line("job_3", "echo still served"));
        assert!(next.text() == "still served\n" || next.exit.shell == ENDED, "{next:?}");
        assert_eq!(shell.run(line("job_4", "echo served")).text(), "served\n");
    }
}

#[test]
fn a_fork_bomb_ends_with_its_command() {
    let Some(shell) = Shell::boot_with_cgroup() else { return };
    shell.run(line("job_1", "x=1"));
    let mut caller = shell.connect();
    // It has an end of its own, so that a failure of the test does not stay.
    let bomb = "ulimit -t 60; echo on; bomb() { bomb & bomb; }; sh -c 'i=0; while [ $i -lt 200 ]; do \
                i=$((i+1)); (trap \"\" INT TERM; while :; do (sleep 0.01); done) & done; wait'";
    caller.send(&Request::Start(line("job_2", bomb)));
    caller.until("on\n");
    shell.ask(Request::Cancel { job_id: "job_2".into() });
    let ran = caller.finish();
    assert!(matches!(ran.exit.cause, Cause::Cancelled { .. }), "{ran:?}");
    let ran = shell.run(line("job_3", "echo served"));
    assert_eq!(ran.text(), "served\n");
}

#[test]
fn commands_go_on_after_their_directory_was_moved() {
    for shell in Shell::boot_both() {
        let find = "dirname $(dirname $(readlink /proc/$$/fd/1))";
        let ran = shell.run(line("job_1", find));
        let directory = Path::new(ran.text().trim_end());
        let moved = directory.with_extension("moved");
        fs::rename(directory, &moved).unwrap();
        let next = shell.run(line("job_2", "echo next"));
        assert_eq!((next.text(), next.exit.shell), ("next\n", FOUND));
        fs::remove_dir_all(moved).unwrap();
    }
}
