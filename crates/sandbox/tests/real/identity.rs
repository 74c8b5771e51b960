//! Each sandbox has users of its own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use runner::protocol::Event;
use sandbox::TaskId;

use crate::host::{Client, Host, host, init_of, is_root, pids_of, spec};

/// A host account that no other has; it stands for the first human user of a host.
const ACCOUNT: u32 = 1000;

/// The real uids of the sandbox's processes, PID 1's first.
fn uids(host: &Host, id: &TaskId) -> (u32, BTreeSet<u32>) {
    let uid = |pid: &i32| fs::metadata(format!("/proc/{pid}")).ok().map(|found| found.uid());
    let init = init_of(host, id).as_raw_nonzero().get();
    (
        uid(&init).expect("PID 1 runs"),
        pids_of(id).iter().filter(|pid| **pid != init).filter_map(uid).collect(),
    )
}

/// Starts a command that runs until the sandbox is stopped.
fn hold(host: &Host, id: &TaskId, user: &str) -> Client {
    let mut client = host.client(id);
    client.start_as(user, "echo here; exec sleep 1013");
    while !matches!(client.next(), Some(Event::Output(_))) {}
    client
}

#[test]
fn two_sandboxes_share_no_host_user_and_use_none_of_the_hosts() {
    let Some(host) = host() else { return };
    let ids = [host.start(spec("first")), host.start(spec("second"))];
    let mut seen = BTreeSet::new();
    for id in &ids {
        let _held = [hold(&host, id, "shelluser"), hold(&host, id, "root")];
        let (init, others) = uids(&host, id);
        assert_eq!(others.len(), 2, "root and shelluser");
        for uid in others.into_iter().chain([init]) {
            assert!(uid >= 0x7800_0000, "{uid} is a uid of the host");
            assert!(seen.insert(uid), "{uid} is shared");
        }
        let inside = host.sh(id, "id -u; stat -c %u ~ /tmp /etc/passwd /root /usr/bin/env");
        assert_eq!(inside.stdout, "1000\n1000\n0\n0\n0\n65534\n");
    }
    for id in &ids {
        host.stop(id);
    }
}

#[test]
fn uids_are_reused_only_after_the_sandbox_is_gone() {
    let Some(mut host) = host() else { return };
    let id = host.start(spec("reuse"));
    let claim = format!("/run/ephemeral/uids/{}", uids(&host, &id).0);
    assert!(fs::read_to_string(&claim).unwrap().ends_with(&format!("records/{id}.json")));
    host.reopen(|_| {});
    assert!(fs::exists(&claim).unwrap(), "the sandbox still runs");
    host.stop(&id);
    host.reopen(|_| {});
    assert!(!fs::exists(&claim).unwrap());
}

#[test]
fn an_account_of_the_host_can_neither_read_nor_end_a_shells_processes() {
    let Some(host) = host() else { return };
    let id = host.start(spec("account"));
    let _held = hold(&host, &id, "shelluser");
    for pid in pids_of(&id) {
        let script = format!(
            "cat /proc/{pid}/environ && echo read; ls /proc/{pid}/root/tmp && echo listed; \
             kill -9 {pid} && echo killed; true"
        );
        let mut account = Command::new("sh");
        account.args(["-c", &script]).uid(ACCOUNT).gid(ACCOUNT);
        let output = account.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    }
    let socket = host.driver().socket(&id);
    let mut account = Command::new("perl");
    let connect = "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); \
                   connect(S, sockaddr_un(shift)) and print q(connected)";
    account.args(["-e", connect]).arg(&socket).uid(ACCOUNT).gid(ACCOUNT);
    assert_eq!(String::from_utf8_lossy(&account.output().unwrap().stdout), "");
    assert_eq!(uids(&host, &id).1.len(), 1, "the command must still run");
    host.stop(&id);
}

#[test]
fn limits_per_user_that_one_shell_uses_up_are_its_own() {
    if !is_root("all sandboxes have one user of the host, whose limits they share") {
        return;
    }
    let Some(host) = host() else { return };
    let (greedy, victim) = (host.start(spec("greedy")), host.start(spec("victim")));
    // System call numbers of x86-64: inotify_init1 and mq_open; SIGRTMIN by sigqueue, blocked.
    if !cfg!(target_arch = "x86_64") {
        println!("SKIPPED: the numbers are those of x86-64");
        return;
    }
    let take = |count: usize| {
        format!(
            "perl -e 'my $info = pack(\"l3 x116\", 40, 0, -1); for (1..{count}) {{ syscall(294, 0) < 0 and last; $i++ }} \
             for (1..{count}) {{ my $n = \"q$_\"; syscall(240, $n, 0102, 0600, 0) < 0 and last; $q++ }} \
             use POSIX; POSIX::sigprocmask(SIG_BLOCK, POSIX::SigSet->new(34..64)); \
             for (1..{count}) {{ syscall(129, $$ + 0, 40, $info) < 0 and last; $s++ }} \
             printf qq(%d %d %d\\n), $i, $q, $s; $| = 1; print qq(\\n); sleep 1000'"
        )
    };
    let mut holder = host.client(&greedy);
    holder.start(&take(100_000));
    let taken = holder.until_line();
    let taken: Vec<u32> = taken.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert!(taken.iter().all(|count| *count > 0 && *count < 100_000), "{taken:?}");
    let mut other = host.client(&victim);
    other.start(&take(100_000));
    let left = other.until_line();
    let left: Vec<u32> = left.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!(left, taken, "the second shell must get as much as the first");
    host.stop(&greedy);
    host.stop(&victim);
}

#[test]
fn device_files_are_the_sandboxs_own() {
    let Some(host) = host() else { return };
    let (one, two) = (host.start(spec("devices-1")), host.start(spec("devices-2")));
    let names = "null zero full random urandom tty";
    let inodes = format!("cd /dev; stat -c '%n %u %a %t:%T' {names}; stat -Lc %d:%i {names}");
    let [own, other] = [&one, &two].map(|id| host.sh(id, &inodes).stdout);
    let split = |text: &str| {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines[..6].to_vec(), lines[6..].to_vec())
    };
    let ((shown, inodes), (_, others)) = (split(&own), split(&other));
    assert_eq!(shown[0], "null 0 666 1:3");
    assert!(shown.iter().all(|line| line.contains(" 0 666 ")), "{shown:?}");
    let hosts = fs::metadata("/dev/null").unwrap();
    assert!(inodes.iter().all(|inode| !others.contains(inode)), "{inodes:?} {others:?}");
    assert!(!inodes.contains(&format!("{}:{}", hosts.dev(), hosts.ino())));
    // A lock of one shell is no obstacle for another.
    let mut holder = host.client(&one);
    holder.start("exec 9</dev/null; flock 9; echo held; exec sleep 1019");
    while !matches!(holder.next(), Some(Event::Output(_))) {}
    assert_eq!(host.sh(&two, "exec 9</dev/null; flock -n 9 && echo free").stdout, "free\n");
    host.stop(&one);
    host.stop(&two);
}

#[test]
fn pid_1_is_no_root_and_has_no_capability_on_the_host() {
    let Some(host) = host() else { return };
    let id = host.start(spec("pid-1"));
    let init = init_of(&host, &id).as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{init}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    for name in ["Uid:", "Gid:"] {
        let ids = field(name);
        assert!(ids.iter().all(|id| id.parse::<u32>().unwrap() >= 0x7800_0000), "{name} {ids:?}");
    }
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(name), ["0000000000000000"], "{name}");
    }
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_ne!(namespace(&init.to_string()), namespace("self"));
    host.stop(&id);
}
