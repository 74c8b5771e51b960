//! Nothing of the process that started the server reaches a shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::host::{Host, host, host_with, init_of, is_root, spec};

/// Prints what a process inherits.
const SHOW: &str = "umask; pwd; nice; chrt -p $$ | cut -d: -f2; ionice; taskset -p $$ | cut -d: -f2; \
    grep -E 'Sig(Blk|Ign)|NoNewPrivs|THP' /proc/self/status; cat /proc/self/limits; \
    for f in oom_score_adj coredump_filter personality timerslack_ns; do cat /proc/self/$f; done; \
    ls /proc/$$/fd; env | sort; stat -c '%a %u' ~ /tmp; touch ~/x && echo home";

/// A program that starts the launcher as a server would whose own process has other attributes.
fn launcher(dir: &Path, setup: &str) -> PathBuf {
    let program = dir.join("launcher");
    let real = env!("CARGO_BIN_EXE_sandbox-runtime");
    fs::write(&program, format!("#!/bin/bash\n{setup} {real} \"$@\"\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn shown(host: &Host, token: &str) -> String {
    let id = host.start(spec(token));
    let done = host.sh(&id, SHOW);
    host.stop(&id);
    done.stdout
}

#[test]
fn a_shell_inherits_nothing_from_the_process_that_started_the_server() {
    let Some(plain) = host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let program = launcher(
        dir.path(),
        "umask 077; cd /tmp; ulimit -S -n 256 -u 700 -s 1024 -f 99999 -v 9999999 -q 4096; \
         trap '' INT PIPE TERM CHLD HUP USR1; exec 7</etc/passwd 9</; \
         echo 0x7f > /proc/self/coredump_filter; echo 77777 > /proc/self/timerslack_ns; \
         export LEAKED=1; exec setarch -R nice -n 10 ionice -c 3 taskset 1 chrt -b 0",
    );
    let Some(odd) = host_with(|config| config.exe = program) else { return };
    let expected = shown(&plain, "plain");
    // The driver's own files, too.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    assert_eq!(shown(&odd, "odd"), expected);
    for line in ["0022", "/home/shelluser", "0", "home", "700 1000", "1777 0", "50000"] {
        assert!(expected.lines().any(|shown| shown == line), "{line} in {expected}");
    }
    for line in ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"] {
        assert!(expected.contains(line), "{line} in {expected}");
    }
    assert!(!expected.contains("LEAKED"), "{expected}");
}

#[test]
fn a_command_can_not_take_the_login_uid_of_somebody() {
    let Some(host) = host() else { return };
    let id = host.start(spec("login"));
    let init = init_of(&host, &id).as_raw_nonzero();
    let read = |file: &str| fs::read_to_string(format!("/proc/{init}/{file}")).unwrap_or_default();
    let status = read("status");
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:\t")?.split('\t').next());
    if read("loginuid").is_empty() {
        println!("SKIPPED: this kernel has no login uids");
    } else {
        assert_eq!(Some(read("loginuid").trim()), uid, "PID 1 has its own");
        for user in ["root", "shelluser"] {
            let line = "echo 0 2>/dev/null > /proc/self/loginuid || echo refused";
            assert_eq!(host.sh_as(&id, user, line).stdout, "refused\n", "{user}");
        }
    }
    host.stop(&id);
}

#[test]
fn a_server_with_a_lower_hard_limit_is_no_obstacle_where_the_kernel_permits_more() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap();
    if effective >> 24 & 1 == 0 {
        println!("SKIPPED: without the capability SYS_RESOURCE no process can raise a hard limit");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let setup = "ulimit -n 256; echo -500 > /proc/self/oom_score_adj; exec";
    let program = launcher(dir.path(), setup);
    let Some(host) = host_with(|config| config.exe = program) else { return };
    let id = host.start(spec("hard"));
    let done =
        host.sh(&id, "ulimit -n; echo 0 2>/dev/null > /proc/self/oom_score_adj || echo kept");
    assert_eq!(done.stdout, "4096\nkept\n");
    host.stop(&id);
}

#[test]
fn limits_of_single_processes_are_the_sandboxs() {
    let Some(host) = host() else { return };
    let id = host.start(spec("limits"));
    for user in ["shelluser", "root"] {
        if user == "root" && !is_root("no command can run as root") {
            break;
        }
        let table = host.sh_as(&id, user, "cat /proc/self/limits").stdout;
        let limit = |name: &str| {
            let line = table.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        for (name, value) in [
            ("Max core file size", "1"),
            ("Max open files", "4096"),
            ("Max processes", "128"),
            ("Max pending signals", "128"),
            ("Max locked memory", "65536"),
            ("Max msgqueue size", "819200"),
            ("Max nice priority", "0"),
            ("Max realtime priority", "0"),
        ] {
            assert_eq!(limit(name), [value, value], "{name} of {user}");
        }
    }
    host.stop(&id);
}
