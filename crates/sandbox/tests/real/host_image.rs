//! The image `host`: what a sandbox sees of the host's programs and of `/etc`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::{Done, host, spec};

/// The symbolic links below a directory, with where they point.
fn links(dir: &Path, found: &mut Vec<(PathBuf, PathBuf)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            links(&entry.path(), found);
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            found.push((entry.path(), dir.join(target)));
        }
    }
}

/// Why a link from `/usr` into `/etc` may be dangling in a sandbox.
fn is_refused(link: &Path, target: &Path) -> bool {
    let host = fs::canonicalize(link).unwrap();
    let public = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o004 != 0
    };
    let secrets = ["/etc/environment", "/etc/ssl/private"];
    // What the link leads to may lie in a part of the host that sandboxes don't have.
    let visible = ["/usr", "/etc"].iter().any(|top| host.starts_with(top));
    !visible || !public(&host) || secrets.iter().any(|secret| target.starts_with(secret))
}

#[test]
fn each_link_from_usr_into_etc_leads_somewhere() {
    let Some(host) = host() else { return };
    let mut all = Vec::new();
    links(Path::new("/usr"), &mut all);
    let expected: Vec<&PathBuf> = all
        .iter()
        .filter(|(link, target)| {
            target.starts_with("/etc") && link.exists() && !is_refused(link, target)
        })
        .map(|(link, _)| link)
        .collect();
    assert!(expected.len() > 10, "{expected:?}");
    let id = host.start(spec("links"));
    let program = "while (<STDIN>) { chomp; print qq($_\n) unless -e }";
    let names: String = expected.iter().map(|link| format!("{}\n", link.display())).collect();
    let done = host.sh(&id, &format!("perl -e '{program}' <<'END'\n{names}END\n"));
    assert_eq!(done.stdout, "", "{}", done.stderr);
    host.stop(&id);
}

#[test]
fn installed_programs_find_their_configuration() {
    let Some(host) = host() else { return };
    let id = host.start(spec("configured"));
    for (program, line) in [
        ("java", "java -Xshare:auto -version"),
        ("javac", "echo 'class A { }' > A.java && javac A.java && test -f A.class"),
        ("mvn", "mvn -v"),
        (
            "openssl",
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=a -days 1",
        ),
        ("man", "man -P cat true | grep -q true"),
        (
            "python3",
            "python3 -c 'import mimetypes, ssl; \
            assert mimetypes.guess_type(\"a.odt\")[0]; assert ssl.create_default_context().get_ca_certs()'",
        ),
        ("perl", "perl -MNet::Config -e 1"),
        ("git", "git init -q r && git -C r status -s"),
        ("node", "node -e 'require(\"tls\").rootCertificates.length > 9 || process.exit(1)'"),
        ("ruby", "ruby -ropenssl -e 'puts 1'"),
        ("file", "file /usr/bin/env | grep -q ELF"),
        ("fc-match", "fc-match sans | grep -q ."),
        ("tput", "TERM=xterm tput colors | grep -q 8"),
    ] {
        if !Path::new("/usr/bin").join(program).exists() {
            println!("SKIPPED: {program} is not installed");
            continue;
        }
        let done = host.sh(&id, line);
        assert_eq!(code(&done), Some(0), "{program}: {}{}", done.stdout, done.stderr);
    }
    host.stop(&id);
}

pub(crate) fn code(done: &Done) -> Option<i32> {
    if let runner::protocol::Cause::Exited { code } = done.exit.cause { Some(code) } else { None }
}

/// A file that is removed with this value.
struct OnHost(PathBuf);

impl OnHost {
    fn write(path: String, content: &str) -> Self {
        fs::write(&path, content).unwrap();
        Self(path.into())
    }
}

impl Drop for OnHost {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_new_sandbox_sees_what_the_host_has_now() {
    let Some(host) = host() else { return };
    let name = format!("ephemeral-test-{}", std::process::id());
    let (certificate, program) =
        (format!("/etc/ssl/certs/{name}.pem"), format!("/usr/local/bin/{name}"));
    let look = format!("cat {certificate} {program} 2>/dev/null; true");
    let before = host.start(spec("before"));
    assert_eq!(host.sh(&before, &look).stdout, "");
    let installed =
        (OnHost::write(certificate, "a certificate\n"), OnHost::write(program, "a program\n"));
    let with = host.start(spec("with"));
    assert_eq!(host.sh(&with, &look).stdout, "a certificate\na program\n");
    drop(installed);
    let after = host.start(spec("after"));
    assert_eq!(host.sh(&after, &look).stdout, "");
    let snapshots = fs::read_dir(host.dir.path().join("hosts")).unwrap().count();
    assert_eq!(snapshots, 3, "each sandbox has its own snapshot");
    for id in [&before, &with, &after] {
        host.stop(id);
    }
}

#[test]
fn a_snapshot_is_removed_when_no_sandbox_uses_it_any_more() {
    let Some(host) = host() else { return };
    let snapshots = || fs::read_dir(host.dir.path().join("hosts")).unwrap().count();
    let first = host.start(spec("first"));
    let path = format!("/etc/ssl/certs/ephemeral-test-unused-{}.pem", std::process::id());
    let file = OnHost::write(path, "");
    host.stop(&first);
    let second = host.start(spec("second"));
    drop(file);
    let third = host.start(spec("third"));
    assert_eq!(snapshots(), 2, "those of the second and the third");
    host.stop(&second);
    host.stop(&third);
}

#[test]
fn secrets_and_configuration_of_the_host_are_hidden() {
    let Some(host) = host() else { return };
    let pid = std::process::id();
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let _files = [
        OnHost::write(format!("/etc/ssl/certs/ephemeral-test-{pid}-key.pem"), key),
        OnHost::write(format!("/etc/ssl/certs/ephemeral-test-{pid}.key"), "a secret\n"),
        OnHost::write(format!("/etc/ephemeral-test-{pid}.conf"), "a secret\n"),
    ];
    let id = host.start(spec("hidden"));
    let done = host.sh(
        &id,
        "cd /etc; ls -d shadow* gshadow* ssh sudoers* environment npmrc pip.conf gitconfig docker \
           ssl/private apt cron* ephemeral-test-* ssl/certs/ephemeral-test-* 2>/dev/null; \
         ls -d /usr/src /usr/local/etc /usr/local/src 2>/dev/null; \
         cut -d: -f1 passwd; grep -rl 'PRIVATE KEY-----$' /etc",
    );
    assert_eq!(done.stdout, "root\nshelluser\nnobody\n");
    host.stop(&id);
}
