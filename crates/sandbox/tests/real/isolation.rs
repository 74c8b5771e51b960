//! What commands in a sandbox can't see, reach or do.

use std::fs;

use runner::protocol::Cause;

use crate::host::{Host, host, spec};

fn assert_prints(host: &Host, line: &str, expected: &str) {
    let id = host.start(spec(line));
    let done = host.sh(&id, line);
    assert_eq!(done.stdout, expected, "{line}\n{}", done.stderr);
    host.stop(&id);
}

#[test]
fn a_sandbox_has_no_network_except_loopback() {
    let Some(host) = host() else { return };
    let line = "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; \
                perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0); \
                  bind(S, pack_sockaddr_in(0, INADDR_LOOPBACK)) and print qq(lo is up\\n); \
                  connect(S, pack_sockaddr_in(53, inet_aton(q(192.0.2.1)))) or print qq(unreachable\\n)'";
    assert_prints(&host, line, "lo\nlo is up\nunreachable\n");
}

#[test]
fn only_sockets_of_unix_and_the_internet_can_be_created() {
    let Some(host) = host() else { return };
    // perl's socket(2) takes any number. 16 is netlink, 17 packet, 21 RDS, 30 TIPC, 31 Bluetooth,
    // 33 RXRPC, 38 ALG, 40 VSOCK.
    let line = "perl -MSocket -MErrno -e 'for (0..45) { \
                  for my $type (SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET) { \
                    if (socket(S, $_, $type, 0)) { $open{$_} = 1 } \
                    elsif (!$!{EAFNOSUPPORT}) { $known{$_} = 1 } } } \
                  print join(q( ), sort { $a <=> $b } keys %open), qq(\n), \
                    join(q( ), sort { $a <=> $b } grep { !$open{$_} } keys %known), qq(\n); \
                  print socketpair(A, B, 1, SOCK_STREAM, 0) ? qq(pair\n) : qq(no pair\n)'";
    assert_prints(&host, line, "1 2 10\n\npair\n");
}

#[test]
fn only_processes_of_the_sandbox_are_visible() {
    let Some(host) = host() else { return };
    assert_prints(
        &host,
        "for p in /proc/[0-9]*; do cat $p/comm; done | sort -u | grep -v -e sh -e cat -e sort -e grep",
        "runner\n",
    );
}

#[test]
fn nothing_of_the_host_is_visible_except_its_programs() {
    let Some(host) = host() else { return };
    let secret = tempfile::Builder::new().prefix("host-secret").tempfile().unwrap();
    fs::write(secret.path(), "secret").unwrap();
    let line = format!("ls -A /; ls -A /home /tmp /var/lib /root; cat {}", secret.path().display());
    let id = host.start(spec("files"));
    let done = host.sh(&id, &line);
    let top: Vec<&str> = done.stdout.lines().take_while(|line| !line.is_empty()).collect();
    for name in &top {
        let ours = [
            "bin",
            "dev",
            "etc",
            "home",
            "lib",
            "lib32",
            "lib64",
            "libx32",
            "opt",
            "proc",
            "root",
            "run",
            "sbin",
            "sys",
            "tmp",
            "usr",
            "var",
            "/home:",
            "shelluser",
        ];
        assert!(ours.contains(name), "{name} in {}", done.stdout);
    }
    assert!(done.stderr.contains("No such file"), "{}", done.stderr);
    assert!(done.stderr.contains("'/root'"), "{}", done.stderr);
    let etc = host.sh(&id, "cat /etc/shadow; cut -d: -f1 /etc/passwd");
    assert_eq!(etc.stdout, "root\nshelluser\nnobody\n");
    host.stop(&id);
}

#[test]
fn only_what_belongs_to_the_shell_is_writable() {
    let Some(host) = host() else { return };
    let line = "for d in / /etc /usr /usr/bin /usr/local/bin /var /var/lib /run/ephemeral \
                  /proc/sys/kernel /opt /opt/ephemeral /dev /sys /sys/fs/cgroup \
                  /sys/fs/cgroup/memory; do \
                    touch $d/x 2>/dev/null && echo wrote $d; done; \
                for d in /tmp ~ /run /run/lock /var/run /var/lock /var/log /var/tmp /dev/shm; do \
                  touch $d/y && rm $d/y; done && echo fine";
    assert_prints(&host, line, "fine\n");
}

#[test]
fn a_command_has_no_capabilities_and_can_not_gain_any() {
    let Some(host) = host() else { return };
    let line = "grep -E 'Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\t'";
    let none = "0000000000000000";
    let expected = format!(
        "CapInh:{none}\nCapPrm:{none}\nCapEff:{none}\nCapAmb:{none}\nNoNewPrivs:1\nSeccomp:2\n"
    );
    assert_prints(&host, line, &expected);
}

#[test]
fn a_setuid_program_does_not_change_its_user() {
    let Some(host) = host() else { return };
    let id = host.start(spec("setuid"));
    let done = host.sh(&id, "for p in su mount passwd; do test -u /usr/bin/$p && echo $p; done");
    if done.stdout.is_empty() {
        println!("SKIPPED: this host has no setuid program");
    } else {
        let mounted = host.sh(&id, "mount -t tmpfs none /tmp || echo refused; id -u");
        assert_eq!(mounted.stdout, "refused\n1000\n");
    }
    let flags = host.sh(&id, "grep -E ' (/|/usr) ' /proc/mounts | grep -vc nosuid");
    assert_eq!(flags.stdout, "0\n");
    host.stop(&id);
}

#[test]
fn system_calls_used_by_container_escapes_are_denied() {
    let Some(host) = host() else { return };
    // System call numbers of x86-64. Each is answered by EPERM, the last three by ENOSYS.
    if !cfg!(target_arch = "x86_64") {
        println!("SKIPPED: the numbers are those of x86-64");
        return;
    }
    let line = "perl -e 'for (qw(272 165 250 248 321 298 323 101,16 425 435 206 500)) { my @a = split /,/; \
                  $! = 0; syscall(int($a[0]), int($a[1] // 0), 0, 0, 0, 0); print int($!), qq( ) }'";
    // unshare, mount, keyctl, add_key, bpf, perf_event_open, userfaultfd; ptrace(ATTACH, 0), which is
    // allowed but finds no such process (ESRCH); io_uring_setup, clone3, io_setup, and a call of the future.
    assert_prints(&host, line, "1 1 1 1 1 1 1 3 1 38 38 38 ");
}

#[test]
fn new_namespaces_are_denied() {
    let Some(host) = host() else { return };
    assert_prints(&host, "unshare -Ur true 2>/dev/null || echo refused", "refused\n");
}

#[test]
fn jobs_can_not_access_the_runner() {
    let Some(host) = host() else { return };
    let line = "kill -9 1 2>/dev/null || echo unkillable; \
                cat /proc/1/environ 2>/dev/null || echo unreadable; \
                ls /run/ephemeral 2>/dev/null || echo hidden";
    assert_prints(&host, line, "unkillable\nunreadable\nhidden\n");
}

#[test]
fn a_working_directory_can_not_be_one_of_the_runners_descriptors() {
    let Some(host) = host() else { return };
    let id = host.start(spec("cwd"));
    for user in ["shelluser", "root"] {
        for fd in 3..24 {
            let mut client = host.client(&id);
            client.start_in(user, "pwd -P", Some(&format!("/proc/self/fd/{fd}")));
            let done = client.until_end();
            let Cause::SpawnFailed { message, .. } = &done.exit.cause else { panic!("{done:?}") };
            // Not even the error tells what a descriptor of the runner is; 3 and above may be the pipe of
            // the report.
            let absent = message.contains("No such file") || message.contains("Not a directory");
            assert!(absent, "{fd}: {message}");
        }
    }
    let open = host.sh(&id, "ls /proc/self/fd | wc -l");
    assert_eq!(open.stdout, "4\n", "0, 1, 2 and the listed directory");
    host.stop(&id);
}

#[test]
fn masked_paths_are_empty() {
    let Some(host) = host() else { return };
    assert_prints(
        &host,
        "cat /proc/keys /proc/timer_list /proc/interrupts 2>/dev/null | wc -c",
        "0\n",
    );
}

#[test]
fn two_sandboxes_share_no_files() {
    let Some(host) = host() else { return };
    let (one, two) = (host.start(spec("one")), host.start(spec("two")));
    host.sh(&one, "echo mine > /tmp/file; echo mine > ~/file");
    assert_eq!(host.sh(&two, "ls -A /tmp ~").stdout, "/home/shelluser:\n\n/tmp:\n");
    host.stop(&one);
    host.stop(&two);
}

#[test]
fn ordinary_programs_work() {
    let Some(host) = host() else { return };
    let id = host.start(spec("programs"));
    let line = "set -e; cd; mkdir d; echo hello > d/f; tar cf - d | tar tf - | wc -l; hostname; \
                echo 1 > /dev/null; test -c /dev/urandom; test -w /dev/shm; \
                perl -e 'print 6*7, qq(\\n)'; find /etc/alternatives -name awk | wc -l; \
                (sleep 0.01 & wait); ls -l /dev/fd/ >/dev/null; mkfifo p; nproc >/dev/null; echo done";
    let done = host.sh(&id, line);
    assert_eq!(done.stdout, "2\nshell\n42\n1\ndone\n", "{}", done.stderr);
    host.stop(&id);
}
