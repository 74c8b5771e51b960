//! Commands as root, inside of their shell.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use runner::protocol::{Cause, Event};

use crate::host::{Host, host, host_with, spec};
use crate::images::debian_like;

fn assert_root_prints(host: &Host, line: &str, expected: &str) {
    let id = host.start(spec(line));
    let done = host.sh_as(&id, "root", line);
    assert_eq!(done.stdout, expected, "{line}\n{}", done.stderr);
    assert!(matches!(host.client(&id).probe(), Event::Ready { .. }), "the shell must still work");
    host.stop(&id);
}

#[test]
fn root_has_rights_over_files_and_users_only() {
    let Some(host) = host() else { return };
    let line = "id -u; id -un; echo $HOME; grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | \
                tr -d '\\t'; touch /tmp/a; chown 1234:4321 /tmp/a; stat -c %u:%g /tmp/a; \
                chown 65534 /tmp/a && echo nobody; chown 65535 /tmp/a 2>/dev/null || echo no such id";
    let rights = "00000000800001fb";
    let expected = format!(
        "0\nroot\n/root\nCapInh:0000000000000000\nCapPrm:{rights}\nCapEff:{rights}\nCapBnd:{rights}\n\
         CapAmb:0000000000000000\n1234:4321\nnobody\nno such id\n"
    );
    assert_root_prints(&host, line, &expected);
}

#[test]
fn root_can_not_touch_the_runner() {
    let Some(host) = host() else { return };
    let line = "for s in 0 1 2 9 15 19 34; do kill -$s 1 2>/dev/null && echo killed by $s; done; \
                for f in environ maps mem auxv stack io fd/3 ns/user task/1/environ cwd/x root/x exe; \
                do head -c 1 /proc/1/$f >/dev/null 2>&1 && echo read $f; done; \
                ls /proc/1/fd 2>/dev/null && echo listed; \
                for f in oom_score_adj coredump_filter comm timerslack_ns loginuid; \
                do echo 0 2>/dev/null > /proc/1/$f && echo wrote $f; done; \
                ls -a /run/ephemeral 2>/dev/null && echo entered; \
                cat /run/ephemeral/runner.sock /run/ephemeral/jobs/*/spec 2>/dev/null && echo opened; \
                chmod 777 /run/ephemeral 2>/dev/null && echo changed; \
                rm -rf /run/ephemeral 2>/dev/null && echo removed; \
                chown root /run/ephemeral 2>/dev/null && echo owned; \
                mkdir /run/ephemeral/cgroup/0/x 2>/dev/null && echo group; \
                perl -e '$p = 1; print qq(traced\\n) if syscall(101, 16, $p, 0, 0) == 0; \
                  print qq(seized\\n) if syscall(101, 0x4206, $p, 0, 0) == 0' ; echo over";
    assert_root_prints(&host, line, "over\n");
}

#[test]
fn root_can_not_leave_its_namespaces_or_make_others() {
    let Some(host) = host() else { return };
    let line = "mount -t tmpfs none /mnt 2>/dev/null && echo mounted; \
                umount /proc 2>/dev/null && echo unmounted; \
                mount -o remount,rw / 2>/dev/null && echo remounted; \
                unshare -U true 2>/dev/null && echo unshared; \
                unshare -m true 2>/dev/null && echo unshared; \
                for n in user mnt net pid; do nsenter -t $$ --$n true 2>/dev/null && echo entered $n; \
                  nsenter -t 1 --$n true 2>/dev/null && echo entered $n of 1; done; \
                mknod /tmp/d c 1 1 2>/dev/null && echo device; chroot /tmp true 2>/dev/null && echo root; \
                hostname other 2>/dev/null && echo renamed; \
                echo 1 2>/dev/null > /proc/sys/kernel/core_pattern && echo pattern; \
                perl -e 'use Socket; socket(S, AF_INET, SOCK_RAW, 1) and print qq(raw\\n); \
                  for (0, 10, 0x10000000) { open(N, q(<), q(/proc/self/ns/user)); \
                    syscall(308, fileno(N), $_) == 0 and print qq(setns $_\\n) }'; \
                echo over";
    assert_root_prints(&host, line, "over\n");
}

#[test]
fn commands_that_are_stopped_before_they_run_do_not_stop_the_runner() {
    let Some(host) = host() else { return };
    let id = host.start(spec("stopped"));
    for user in ["root", "shelluser"] {
        let mut attacker = host.client(&id);
        attacker.timeout_ms = 3_000;
        // Signals every process that it may, except itself, as fast as possible.
        attacker.start_as(
            user,
            "echo go; exec perl -e '$SIG{TERM} = sub { exit }; kill STOP => -1 while 1'",
        );
        while !matches!(attacker.next(), Some(Event::Output(_))) {}
        let mut victims: Vec<_> = (0..8).map(|_| host.client(&id)).collect();
        for victim in &mut victims {
            victim.timeout_ms = 3_000;
            victim.start_as(user, "true");
        }
        let begin = Instant::now();
        attacker.until_end();
        victims.iter_mut().for_each(|victim| drop(victim.until_end()));
        assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
        assert_eq!(host.sh(&id, "echo works").stdout, "works\n");
    }
    host.stop(&id);
}

#[test]
fn root_rules_over_the_other_users_of_its_shell() {
    let Some(host) = host() else { return };
    let id = host.start(spec("rules"));
    let mut client = host.client(&id);
    client.start("echo secret > ~/private; chmod 600 ~/private; echo here; exec sleep 1017");
    while !matches!(client.next(), Some(Event::Output(_))) {}
    let line = "cat /home/shelluser/private; pkill -f 'slee[p] 1017' && echo ended; \
                setpriv --reuid shelluser --regid shelluser --clear-groups \
                  sh -c 'id -un; kill -0 $PPID 2>/dev/null || echo not back' 2>&1";
    let done = host.sh_as(&id, "root", line);
    assert_eq!(done.stdout, "secret\nended\nshelluser\nnot back\n", "{done:?}");
    while let Some(event) = client.next() {
        if let Event::Exited(exit) = event {
            assert_eq!(exit.cause, Cause::Signalled { signal: 15 });
            break;
        }
    }
    let back = host.sh(&id, "su root -c true 2>/dev/null < /dev/null || echo refused");
    assert_eq!(back.stdout, "refused\n");
    host.stop(&id);
}

#[test]
fn root_can_not_read_what_only_the_hosts_root_or_an_account_may_read() {
    let Some(host) = host() else { return };
    // A directory that is bound into sandboxes.
    let at = Path::new("/usr/share/ephemeral-test-secret");
    let mut secrets = Vec::new();
    for owner in [0, 1, 1000] {
        let file = at.with_extension(format!("{}-{owner}", std::process::id()));
        fs::write(&file, "secret").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(owner), Some(owner)).unwrap();
        secrets.push(file);
    }
    let id = host.start(spec("secrets"));
    let paths: Vec<_> = secrets.iter().map(|path| path.display().to_string()).collect();
    let line = format!("cat {} || ls -ln {}", paths.join(" "), paths.join(" "));
    let read = ["root", "shelluser"].map(|user| host.sh_as(&id, user, &line));
    for file in secrets {
        fs::remove_file(file).unwrap();
    }
    for done in read {
        assert!(
            !done.stdout.contains("secret\n") && !done.stdout.contains("secretsecret"),
            "{done:?}"
        );
        assert_eq!(done.stdout.matches(" 65534 65534 ").count(), 3, "{done:?}");
        assert_eq!(done.stderr.matches("Permission denied").count(), 3, "{done:?}");
    }
    host.stop(&id);
}

#[test]
fn root_is_refused_where_the_configuration_denies_it() {
    let Some(host) = host_with(|config| config.allow_root = false) else { return };
    let id = host.start(spec("denied"));
    for user in ["root", "0"] {
        let done = host.sh_as(&id, user, "id");
        let Cause::SpawnFailed { message, .. } = done.exit.cause else { panic!("{done:?}") };
        assert!(message.contains("can't run as root in this shell"), "{message}");
    }
    host.stop(&id);
}

#[test]
fn root_changes_an_image_as_a_package_manager_does() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = debian_like(dir.path()) else { return };
    let Some(host) = host_with(|config| config.image = sandbox::Image::File(image)) else { return };
    let id = host.start(spec("packages"));
    // What dpkg and the scripts of packages do.
    let line = "set -e; echo '#!/bin/sh' > /usr/bin/tool; echo 'echo installed' >> /usr/bin/tool; \
                chmod 755 /usr/bin/tool; chown root:root /usr/bin/tool; mkdir -p /var/lib/thing; \
                useradd -r -m -d /var/lib/service -s /bin/sh service; \
                chown service:service /var/lib/thing; chmod 4755 /usr/bin/tool; \
                mv /etc/hosts /etc/hosts.old; cp /etc/hosts.old /etc/hosts; rm /bin/ls; \
                ln -s tool /usr/bin/tool2; tool2; su service -c 'id -un; echo x > /var/lib/thing/f'; \
                stat -c %U:%G /var/lib/thing/f; mkfifo /tmp/p; su shelluser -c 'id -un'; echo done";
    let done = host.sh_as(&id, "root", line);
    assert_eq!(done.stdout, "installed\nservice\nservice:service\nshelluser\ndone\n", "{done:?}");
    let after = host.sh(&id, "tool; rm /usr/bin/tool 2>/dev/null || echo refused; cat /etc/shadow");
    assert_eq!(after.stdout, "installed\nrefused\n", "{after:?}");
    let other = host.start(spec("untouched"));
    assert_eq!(host.sh(&other, "ls -d /bin/ls /usr/bin/tool 2>/dev/null").stdout, "/bin/ls\n");
    host.stop(&id);
    host.stop(&other);
}

#[test]
fn files_that_root_replaces_by_pipes_do_not_stop_the_runner() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = debian_like(dir.path()) else { return };
    let Some(host) = host_with(|config| config.image = sandbox::Image::File(image)) else { return };
    let id = host.start(spec("pipes"));
    host.sh_as(&id, "root", "mv /etc/passwd /etc/p; mkfifo /etc/passwd");
    let done = host.sh(&id, "id");
    assert!(matches!(done.exit.cause, Cause::SpawnFailed { .. }), "{done:?}");
    assert!(matches!(host.client(&id).probe(), Event::Ready { .. }));
    host.stop(&id);
}
