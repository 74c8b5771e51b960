//! External OCI runtimes, and tasks without a sandbox.

use std::path::PathBuf;

use runner::protocol::Cause;
use sandbox::{Program, Runtime, Status, StopCode, TaskSpec};

use crate::host::{Host, host_with, spec};

fn installed(name: &str) -> Option<PathBuf> {
    let dirs = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = dirs.iter().map(|dir| PathBuf::from(dir).join(name)).find(|path| path.exists());
    if found.is_none() {
        println!("SKIPPED: {name} is not installed");
    }
    found
}

fn assert_works_with(program: PathBuf) {
    let token = program.display().to_string();
    let Some(host) = host_with(|config| config.runtime = Runtime::Program(program.into())) else {
        return;
    };
    let id = host.driver().run(spec(&token)).unwrap();
    let facts = host.until(&id, |facts| facts.last_status >= Status::Running);
    if facts.last_status != Status::Running && facts.stopped_reason.contains("hybrid mode") {
        println!("SKIPPED: {}", facts.stopped_reason);
        host.until_stopped(&id);
        host.assert_nothing_left(&id);
        return;
    }
    assert_eq!(facts.last_status, Status::Running, "{}", facts.stopped_reason);
    let done = host.sh(&id, "id -un; grep -c . /proc/net/route; grep Seccomp: /proc/self/status");
    assert_eq!(done.stdout, "shelluser\n1\nSeccomp:\t2\n");
    assert_eq!(done.exit.usage.oom_kills, Some(0), "jobs have no cgroups");
    let line = "perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0); \
                  print bind(S, pack_sockaddr_in(80, INADDR_LOOPBACK)) ? qq(bound\\n) : qq($!\\n)'; \
                cd /sys/fs/cgroup && cat memory/memory.limit_in_bytes memory.max 2>/dev/null; \
                test -e memory/cgroup.procs && cd memory; echo 1 2>/dev/null >cgroup.procs || echo kept; \
                for d in /run /var/log /var/tmp ~; do echo >$d/x || echo $d; done; ls -d /usr/src; \
                echo $EPHEMERAL";
    let done = host.sh(&id, line);
    assert_eq!(done.stdout, "bound\n268435456\nkept\n1\n", "{}", done.stderr);
    let root =
        host.sh_as(&id, "root", "id -u; kill -9 1 2>/dev/null || echo safe; stat -c %u /tmp");
    assert_eq!(root.stdout, "0\nsafe\n0\n", "{root:?}");
    let refused = host.sh(&id, "unshare -Ur true 2>/dev/null || echo refused");
    assert_eq!(refused.stdout, "refused\n");
    host.stop(&id);
}

#[test]
fn sandboxes_run_by_runc() {
    if let Some(program) = installed("runc") {
        assert_works_with(program);
    }
}

#[test]
fn sandboxes_run_by_crun() {
    if let Some(program) = installed("crun") {
        assert_works_with(program);
    }
}

fn gvisor(program: PathBuf) -> Option<Host> {
    host_with(|config| {
        config.runtime = Runtime::Program(program.into());
        config.allow_root = false;
    })
}

/// gVisor has its own kernel: no network but loopback, and limits that hold for it as a whole.
#[test]
fn sandboxes_run_by_runsc() {
    let Some(program) = installed("runsc") else { return };
    let Some(host) = gvisor(program) else { return };
    let id = host.start(TaskSpec { memory_mib: 512, pids: 512, ..spec("runsc") });
    let done =
        host.sh(&id, "id -un; dmesg | grep -c gVisor; tail -n +3 /proc/net/dev | cut -d: -f1");
    assert_eq!(done.stdout.split_ascii_whitespace().collect::<Vec<_>>(), ["shelluser", "1", "lo"]);
    let files = host.sh(&id, "echo kept > ~/f; cat ~/f; echo x > /usr/x || echo refused");
    assert_eq!(files.stdout, "kept\nrefused\n", "{}", files.stderr);
    let rights = host
        .sh(&id, "grep -cE 'Cap(Prm|Eff|Bnd).*[1-9a-f]' /proc/self/status; kill -9 1 || echo no");
    assert_eq!(rights.stdout, "0\nno\n", "{}", rights.stderr);
    let connected = host.sh(
        &id,
        "perl -MIO::Socket::INET -e '$l = IO::Socket::INET->new(Listen => 1, LocalAddr => q(127.0.0.1)); \
         print IO::Socket::INET->new(PeerAddr => q(127.0.0.1), PeerPort => $l->sockport) ? qq(lo\n) : $!; \
         print IO::Socket::INET->new(PeerAddr => q(192.0.2.1), PeerPort => 80, Timeout => 1) ? 1 : 0'",
    );
    assert_eq!(connected.stdout, "lo\n0", "{}", connected.stderr);
    let large = host.sh(&id, "head -c 20M /dev/zero");
    assert_eq!(large.exit.stdout.bytes, 20 << 20);
    host.stop(&id);
}

/// The memory limit is that of gVisor itself, which the kernel then kills: the shell ends, not the job.
#[test]
fn a_sandbox_run_by_runsc_ends_beyond_its_memory_limit() {
    let Some(program) = installed("runsc") else { return };
    let Some(host) = gvisor(program) else { return };
    let id = host.start(TaskSpec { memory_mib: 256, pids: 512, ..spec("runsc-memory") });
    host.client(&id).start("exec perl -e '$x = q(a) x (1 << 30); sleep 60'");
    let stopped = host.until_stopped(&id);
    assert!(stopped.oom_killed, "{stopped:?}");
    host.assert_nothing_left(&id);
}

#[test]
fn arguments_for_a_runtime_come_before_its_subcommand() {
    let args = vec!["--no-such-argument".into()];
    let Some(path) = installed("runc") else { return };
    let program = Program { path, args };
    let Some(host) = host_with(|config| config.runtime = Runtime::Program(program)) else { return };
    let id = host.driver().run(spec("runtime-args")).unwrap();
    let stopped = host.until_stopped(&id);
    assert!(stopped.stopped_reason.contains("no-such-argument"), "{stopped:?}");
    host.assert_nothing_left(&id);
}

#[test]
fn a_missing_runtime_is_the_stop_reason() {
    let missing = Runtime::Program("/nonexistent/runc".into());
    let Some(host) = host_with(|config| config.runtime = missing) else { return };
    let id = host.driver().run(spec("missing")).unwrap();
    let stopped = host.until_stopped(&id);
    assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
    assert!(stopped.stopped_reason.contains("/nonexistent/runc: No such file"), "{stopped:?}");
    host.assert_nothing_left(&id);
}

#[test]
fn without_a_sandbox_a_task_still_has_limits_and_is_removed() {
    let bare = |config: &mut sandbox::Config| {
        config.runtime = Runtime::Bare;
        config.allow_root = false;
    };
    let Some(host) = host_with(bare) else { return };
    let id = host.start(spec("bare"));
    let mut client = host.client(&id);
    client.start("(trap '' TERM; setsid sleep 1000 &) ; sleep 1000");
    // If the host has no user shelluser, the job fails to spawn.
    let done = host.sh(&id, "echo $((6 * 7))");
    if !matches!(done.exit.cause, Cause::SpawnFailed { .. }) {
        assert_eq!(done.stdout, "42\n");
    }
    host.stop(&id);
}
