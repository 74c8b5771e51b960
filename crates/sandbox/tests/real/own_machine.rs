//! A sandbox is a machine of its own: what happens in it is not seen elsewhere, and programs that expect
//! a machine work.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use runner::protocol::Event;
use rustix::fs::FlockOperation;
use sandbox::{TaskId, TaskSpec};

use crate::host::{Host, host, spec};
use crate::host_image::code;

#[test]
fn each_sandbox_has_a_machine_id_of_its_own() {
    let Some(host) = host() else { return };
    let (one, two) = (host.start(spec("one")), host.start(spec("two")));
    let ids = [&one, &two].map(|id| host.sh(id, "cat /etc/machine-id").stdout.trim().to_owned());
    assert!(ids[0].len() == 32 && ids[0].bytes().all(|byte| byte.is_ascii_hexdigit()), "{ids:?}");
    assert_ne!(ids[0], ids[1]);
    assert_ne!(fs::read_to_string("/etc/machine-id").unwrap_or_default().trim(), ids[0]);
    host.stop(&one);
    host.stop(&two);
}

/// A line that holds an exclusive lock on a file and then prints whether it got the lock.
fn lock_line(path: &str) -> String {
    format!(
        "perl -MFcntl=:flock -e '$| = 1; open(my $f, q(<), q({path})) or die; \
           print flock($f, LOCK_EX | LOCK_NB) ? qq(locked\\n) : qq(refused\\n); sleep 60 if $ARGV[0]'"
    )
}

#[test]
fn locks_are_not_seen_by_other_sandboxes_and_the_host() {
    let Some(host) = host() else { return };
    let (one, two) = (host.start(spec("one")), host.start(spec("two")));
    for path in ["/usr/bin/env", "/etc/passwd", "/opt/ephemeral/runner"] {
        let mut holder = host.client(&one);
        holder.start(&format!("{} 1", lock_line(path)));
        while !matches!(holder.next().unwrap(), Event::Output(_)) {}
        assert_eq!(host.sh(&one, &lock_line(path)).stdout, "refused\n", "{path} in one sandbox");
        assert_eq!(host.sh(&two, &lock_line(path)).stdout, "locked\n", "{path}");
        if path == "/usr/bin/env" {
            let file = File::open(path).unwrap();
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        }
    }
    host.stop(&one);
    host.stop(&two);
}

#[test]
fn accesses_are_not_seen_by_other_sandboxes_and_not_those_of_the_host() {
    let Some(host) = host() else { return };
    if !cfg!(target_arch = "x86_64") {
        println!("SKIPPED: the numbers of system calls are those of x86-64");
        return;
    }
    let (one, two) = (host.start(spec("one")), host.start(spec("two")));
    // inotify_init1(IN_NONBLOCK), inotify_add_watch(.., IN_OPEN), then a read for each line of input.
    let watch = "perl -e '$| = 1; $i = syscall(294, 2048); $d = q(/usr/bin); syscall(254, $i, $d, 32); \
        print qq(watching\\n); while (!-e q(/tmp/look)) { select(undef, undef, undef, 0.01) } \
        open(my $f, q(<&=), $i); sysread($f, my $events, 65536); \
        print join(q( ), sort grep { /^(whoami|tac|comm)$/ } split(/\\W+/, $events)), qq(\\n)'";
    let mut watcher = host.client(&one);
    watcher.start(watch);
    while !matches!(watcher.next().unwrap(), Event::Output(_)) {}
    Command::new("/usr/bin/whoami").output().unwrap();
    host.sh(&two, "/usr/bin/tac </dev/null");
    host.sh(&one, "/usr/bin/comm /dev/null /dev/null; touch /tmp/look");
    let mut seen = String::new();
    loop {
        let event = watcher.next().unwrap();
        if let Event::Output(output) = &event {
            seen.push_str(&String::from_utf8_lossy(&output.bytes));
        }
        if matches!(event, Event::Exited(_)) {
            break;
        }
    }
    assert_eq!(seen, "comm\n");
    host.stop(&one);
    host.stop(&two);
}

#[test]
fn ports_below_1024_and_echo_requests_need_no_privilege() {
    let Some(host) = host() else { return };
    let line = "perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0); \
                  print bind(S, pack_sockaddr_in(80, INADDR_LOOPBACK)) ? qq(bound\\n) : qq($!\\n); \
                  socket(P, AF_INET, SOCK_DGRAM, 1) or die qq(no ping: $!\\n); \
                  send(P, pack(q(CCnnn), 8, 0, 0, 1, 1), 0, pack_sockaddr_in(0, INADDR_LOOPBACK)); \
                  recv(P, my $r, 99, 0); print unpack(q(C), $r) == 0 ? qq(echo\\n) : qq(no echo\\n)'";
    let id = host.start(spec("ports"));
    let done = host.sh(&id, line);
    assert_eq!(done.stdout, "bound\necho\n", "{}", done.stderr);
    host.stop(&id);
}

#[test]
fn programs_see_the_limits_of_their_sandbox_and_can_not_change_them() {
    let Some(host) = host() else { return };
    let id = host.start(spec("limits"));
    let line = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max memory.max pids.max \
                  2>/dev/null; \
                for f in memory/memory.limit_in_bytes memory.max memory/cgroup.procs cgroup.procs; do \
                  test -e $f && echo 1 2>/dev/null > $f && echo wrote; done; \
                mkdir memory/x x 2>/dev/null && echo made; ls /sys; \
                find . -name 'task-*' -o -name release_agent | wc -l";
    let done = host.sh(&id, line);
    assert_eq!(done.stdout, "268435456\n128\nfs\n0\n", "{}", done.stderr);
    check_runtimes(&host, &id);
    host.stop(&id);
}

fn check_runtimes(host: &Host, id: &TaskId) {
    // Both runtimes read the limits of the process's own group, which is the job's.
    for (program, line, most_mib) in [
        (
            "java",
            "java -XX:+PrintFlagsFinal -version 2>/dev/null | \
               awk '$2 == \"MaxHeapSize\" { print int($4 / 1048576) }'",
            128,
        ),
        ("node", "node -e 'console.log(Math.floor(process.constrainedMemory() / 1048576))'", 256),
    ] {
        if !Path::new("/usr/bin").join(program).exists() {
            println!("SKIPPED: {program} is not installed");
            continue;
        }
        let done = host.sh(id, line);
        let mib: u64 = done.stdout.trim().parse().unwrap_or(u64::MAX);
        assert!(mib <= most_mib, "{program}: {} {}", done.stdout, done.stderr);
    }
}

#[test]
fn servers_that_use_run_and_var_start() {
    let Some(host) = host() else { return };
    let id = host.start(TaskSpec { disk_mib: 192, memory_mib: 512, ..spec("servers") });
    for (program, line) in [
        (
            "/usr/bin/screen",
            // It has its socket some time after the command that started it has ended.
            "TERM=xterm screen -dmS s sleep 60
             timeout 20 sh -c 'until screen -ls | grep -Fq .s; do sleep 0.05; done' &&
             screen -S s -X quit",
        ),
        (
            "/usr/bin/dbus-daemon",
            "dbus-run-session -- sh -c 'test -n \"$DBUS_SESSION_BUS_ADDRESS\"'",
        ),
        (
            "/usr/local/bin/postgres",
            "initdb -D ~/db >/dev/null && pg_ctl -D ~/db -l ~/log -w -o '-k /run -c shared_buffers=1MB' \
               start >/dev/null && psql -h /run -Atc 'select 6 * 7' postgres && pg_ctl -D ~/db stop",
        ),
    ] {
        if !Path::new(program).exists() {
            println!("SKIPPED: {program} is not installed");
            continue;
        }
        let done = host.sh(&id, line);
        assert_eq!(code(&done), Some(0), "{program}: {}{}", done.stdout, done.stderr);
    }
    host.stop(&id);
}
