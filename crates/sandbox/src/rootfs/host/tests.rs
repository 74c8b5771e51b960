use std::fs::Permissions;

use md5::{Digest, Md5};

use super::*;
use crate::digest;

/// A directory that stands for the root of a host.
fn host(files: &[(&str, &str, u32)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content, mode) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
    }
    dir
}

/// The files, relative to `/etc`, that a snapshot of the host has of these.
fn shown(host: &Path, names: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    etc::copy(host, dir.path(), &mut Sources::default()).unwrap();
    let exists = |name: &&&str| fs::symlink_metadata(dir.path().join(name)).is_ok();
    names.iter().filter(exists).map(ToString::to_string).collect()
}

#[test]
fn configuration_that_is_listed_is_shown_if_everybody_may_read_it() {
    let host = host(&[
        ("etc/ssl/openssl.cnf", "x", 0o644),
        ("etc/java-17-openjdk/security/java.security", "x", 0o644),
        ("etc/php/8.2/cli/conf.d/10-x.ini", "x", 0o644),
        ("etc/perl/CPAN/Config.pm", "x", 0o644),
        ("etc/php/8.2/cli/php.ini", "x", 0o644),
        ("etc/fonts/private.conf", "x", 0o640),
        ("etc/perl/closed/x", "x", 0o644),
        ("etc/unknown.conf", "x", 0o644),
    ]);
    let closed = host.path().join("etc/perl/closed");
    fs::set_permissions(closed, Permissions::from_mode(0o750)).unwrap();
    let names = [
        "ssl/openssl.cnf",
        "java-17-openjdk/security/java.security",
        "php/8.2/cli/conf.d/10-x.ini",
        "php/8.2/cli/php.ini",
        "perl/CPAN/Config.pm",
        "fonts/private.conf",
        "perl/closed/x",
        "unknown.conf",
    ];
    assert_eq!(shown(host.path(), &names), names[..3]);
}

#[test]
fn configuration_of_packages_is_shown_while_it_is_unmodified() {
    let md5 = |text: &str| digest::encode(&Md5::digest(text));
    let status = format!(
        "Package: a\nConffiles:\n /etc/a/new {0}\n /etc/a/edited {0}\n /etc/a/missing {0}\n \
         /etc/a/old {0} obsolete\n /etc/ssh/ssh_config {0}\nDescription: a\n /etc/a/no {0}\n\n\
         Package: b\nConffiles:\n /etc/b.conf {0}\n /etc/../b {0}\n",
        md5("as shipped")
    );
    let hashes = format!("{0}  /etc/c/generated\n{0}  /etc/c/edited\n", md5("as shipped"));
    let host = host(&[
        ("var/lib/ucf/hashfile", &hashes, 0o644),
        ("etc/c/generated", "as shipped", 0o644),
        ("etc/c/edited", "password = 1", 0o644),
        ("var/lib/dpkg/status", &status, 0o644),
        ("etc/a/new", "as shipped", 0o644),
        ("etc/a/old", "as shipped", 0o755),
        ("etc/a/no", "as shipped", 0o644),
        ("etc/a/edited", "password = 1", 0o644),
        ("etc/ssh/ssh_config", "as shipped", 0o644),
        ("etc/b.conf", "as shipped", 0o644),
    ]);
    let shown_names = ["a/new", "a/old", "b.conf", "c/generated"];
    let others = ["a/no", "a/edited", "a/missing", "ssh/ssh_config", "c/edited"];
    assert_eq!(shown(host.path(), &[&shown_names[..], &others].concat()), shown_names);
}

#[test]
fn what_looks_like_a_secret_is_never_shown() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\r\nAAAA\r\n";
    let host = host(&[
        ("etc/ssl/certs/a.pem", "-----BEGIN CERTIFICATE-----\n", 0o644),
        ("etc/ssl/certs/b.pem", key, 0o644),
        ("etc/ssl/certs/c.key", "x", 0o644),
        ("etc/ssl/private/d", "x", 0o644),
        ("etc/java/jmxremote.password", "x", 0o644),
        ("etc/java/Credentials.xml", "x", 0o644),
    ]);
    let names = [
        "ssl/certs/a.pem",
        "ssl/certs/b.pem",
        "ssl/certs/c.key",
        "ssl/private/d",
        "java/jmxremote.password",
        "java/Credentials.xml",
    ];
    assert_eq!(shown(host.path(), &names), names[..1]);
}

#[test]
fn links_are_copied_and_not_followed() {
    let host = host(&[("etc/shadow", "x", 0o640), ("etc/alternatives/README", "x", 0o644)]);
    symlink("/usr/bin/mawk", host.path().join("etc/alternatives/awk")).unwrap();
    symlink("../shadow", host.path().join("etc/alternatives/trap")).unwrap();
    symlink("/root", host.path().join("etc/fonts")).unwrap();
    symlink("/root", host.path().join("etc/php")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    etc::copy(host.path(), dir.path(), &mut Sources::default()).unwrap();
    let target = |name: &str| fs::read_link(dir.path().join(name)).unwrap();
    assert_eq!(target("alternatives/awk"), Path::new("/usr/bin/mawk"));
    assert_eq!(target("alternatives/trap"), Path::new("../shadow"));
    assert_eq!(target("fonts"), Path::new("/root"));
    assert!(!dir.path().join("shadow").exists() && !dir.path().join("php").exists());
}

/// Sources of a snapshot that was taken long after the last change.
fn settled(host: &Path) -> Sources {
    let wait = std::time::Instant::now() + std::time::Duration::from_millis(60);
    while std::time::Instant::now() < wait {
        std::thread::yield_now();
    }
    let dir = tempfile::tempdir().unwrap();
    let mut sources = Sources::default();
    etc::copy(host, dir.path(), &mut sources).unwrap();
    assert!(sources.are_unchanged());
    sources
}

#[test]
fn each_change_that_a_snapshot_would_show_is_noticed() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 7] = [
        ("a new file", |etc| fs::write(etc.join("ssl/certs/new.pem"), "x").unwrap()),
        ("a removed file", |etc| fs::remove_file(etc.join("ssl/certs/a.pem")).unwrap()),
        ("an edited file", |etc| fs::write(etc.join("ssl/certs/a.pem"), "y").unwrap()),
        ("a file that is now private", |etc| {
            let path = etc.join("ssl/certs/a.pem");
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }),
        ("a new link", |etc| symlink("/x", etc.join("alternatives/x")).unwrap()),
        ("a new directory", |etc| fs::create_dir(etc.join("fonts")).unwrap()),
        ("a package", |etc| fs::write(etc.join("../var/lib/dpkg/status"), "Package: a\n").unwrap()),
    ];
    for (what, change) in changes {
        let host = host(&[
            ("etc/ssl/certs/a.pem", "x", 0o644),
            ("etc/alternatives/README", "x", 0o644),
            ("var/lib/dpkg/status", "", 0o644),
        ]);
        let sources = settled(host.path());
        change(&host.path().join("etc"));
        assert!(!sources.are_unchanged(), "{what}");
    }
}

#[test]
fn a_change_right_before_a_snapshot_makes_it_provisional() {
    let host = host(&[("etc/inputrc", "x", 0o644)]);
    let dir = tempfile::tempdir().unwrap();
    let mut sources = Sources::default();
    etc::copy(host.path(), dir.path(), &mut sources).unwrap();
    assert!(!sources.are_unchanged(), "a later change may have the same time stamp");
}

#[test]
fn private_parts_of_usr_are_hidden() {
    let host = host(&[
        ("usr/bin/env", "", 0o755),
        ("usr/src/linux/x", "", 0o644),
        ("usr/local/etc/npmrc", "", 0o644),
        ("usr/local/bin/tool", "", 0o755),
        ("usr/lib/node_modules/npm/npmrc", "", 0o644),
    ]);
    for name in ["usr/closed", "usr/local/secret"] {
        fs::create_dir(host.path().join(name)).unwrap();
        fs::set_permissions(host.path().join(name), Permissions::from_mode(0o750)).unwrap();
    }
    let layer = tempfile::tempdir().unwrap();
    let at = layer.path().join("usr");
    hidden::make_layer(&host.path().join("usr"), &at, &mut Sources::default()).unwrap();
    let is_hidden = |name: &&str| {
        use std::os::unix::fs::FileTypeExt;
        fs::symlink_metadata(at.join(name)).is_ok_and(|found| found.file_type().is_char_device())
    };
    let names = [
        "src",
        "local/etc",
        "lib/node_modules/npm/npmrc",
        "closed",
        "local/secret",
        "bin",
        "local/bin",
        "local/src",
        "home",
    ];
    let hidden: Vec<&str> = names.iter().copied().filter(is_hidden).collect();
    assert_eq!(hidden, names[..5]);
}
