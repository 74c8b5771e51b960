//! The Landlock domain of a shell, behind capabilities and the system call filter. What it refuses by itself is
//! shown by the tests beside its source, without the other layers of defence.

use sandbox::{CheckStatus, Config, TaskId, doctor};

use crate::host::{Host, config, host, spec};
use crate::prepared;

/// Whether shells of this configuration have a domain, as `doctor` says.
fn has_domain(config: &Config) -> bool {
    let checks = doctor(config);
    let check = checks.iter().find(|check| check.name == "landlock").unwrap();
    if check.status != CheckStatus::Ok {
        println!("SKIPPED: {}", check.detail);
    }
    check.status == CheckStatus::Ok
}

/// The users that commands can have.
fn users(host: &Host) -> &'static [&'static str] {
    if config(host.dir.path()).allow_root { &["shelluser", "root"] } else { &["shelluser"] }
}

/// Without a domain the kernel answers EPERM, because the capability is missing.
fn assert_no_device(host: &Host, id: &TaskId) {
    for user in users(host) {
        let done =
            host.sh_as(id, user, "mkfifo /tmp/p && rm /tmp/p && mknod /tmp/d c 1 3; ls /tmp");
        assert_eq!(done.stdout, "", "{user}: {}", done.stderr);
        assert!(done.stderr.contains("Permission denied"), "{user}: {}", done.stderr);
    }
}

#[test]
fn no_device_can_be_created_in_a_shell() {
    let Some(host) = host() else { return };
    if has_domain(&config(host.dir.path())) {
        let id = host.start(spec("domain"));
        assert_no_device(&host, &id);
        host.stop(&id);
    }
}

#[test]
fn no_device_can_be_created_in_a_shell_that_was_prepared() {
    let Some(host) = prepared::host_of(1) else { return };
    if has_domain(&config(host.dir.path())) {
        let (id, _) = prepared::start_prepared(&host, &spec("prepared-domain"));
        assert_no_device(&host, &id);
        host.stop(&id);
    }
}

#[test]
fn files_move_between_directories() {
    let Some(host) = host() else { return };
    let id = host.start(spec("moves"));
    let line = "mkdir /tmp/a /tmp/b && echo text > /tmp/a/f && mv /tmp/a/f /tmp/b/f && ln /tmp/b/f /tmp/a/g && \
                perl -e 'rename(q(/tmp/a), q(/tmp/b/a)) or die $!' && cat /tmp/b/a/g && mv /tmp/b ~/moved && \
                cat ~/moved/f && mv ~/moved /dev/shm/ && cat /dev/shm/moved/f && rm -r /dev/shm/moved";
    for user in users(&host) {
        let done = host.sh_as(&id, user, line);
        assert_eq!(done.stdout, "text\ntext\ntext\n", "{user}: {}", done.stderr);
    }
    host.stop(&id);
}

#[test]
fn processes_of_different_jobs_reach_each_other() {
    let Some(host) = host() else { return };
    let id = host.start(spec("reach"));
    let mut other = host.client(&id);
    // 101 is ptrace(2) of x86-64, and 0x4206 its request to seize a process.
    let listen = "perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); \
                    bind(S, pack_sockaddr_un(qq(\\0reached))) or die; listen(S, 1); $| = 1; \
                    $SIG{USR1} = sub { print qq(signalled\\n); exit }; print qq($$\\n\\n); sleep 60 while 1'";
    other.start(listen);
    let pid = other.until_line();
    let reach = format!(
        "perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); \
           connect(S, pack_sockaddr_un(qq(\\0reached))) and print qq(connected\\n); my $p = {}; \
           syscall(101, 0x4206, $p, 0, 0) == 0 and print qq(traced\\n)'; kill -USR1 {}",
        pid.trim(),
        pid.trim()
    );
    let done = host.sh(&id, &reach);
    let traced = if cfg!(target_arch = "x86_64") { "traced\n" } else { "" };
    assert_eq!(done.stdout, format!("connected\n{traced}"), "{}", done.stderr);
    assert_eq!(other.until_end().stdout, "signalled\n");
    host.stop(&id);
}
