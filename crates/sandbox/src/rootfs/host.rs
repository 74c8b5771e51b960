//! The image `host`: the programs of this host and a generated `/etc`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{SHELL_UID, directory, file, link};

/// Directories with programs. They are bound read-only, or are links into `/usr` on a merged-usr host.
const PROGRAMS: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Empty directories.
const EMPTY: [&str; 8] =
    ["proc", "dev", "sys", "tmp", "run/ephemeral", "home/shelluser", "etc", "var"];

/// Copied from the host's `/etc` if they exist and are world-readable.
const COPIED: [&str; 9] = [
    "alternatives",
    "ca-certificates.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
];

/// Creates the root in `dir`. Returns the host's directories to bind into it.
pub(super) fn prepare(dir: &Path) -> io::Result<Vec<PathBuf>> {
    directory(dir, 0o755)?;
    for name in EMPTY {
        directory(&dir.join(name), 0o755)?;
    }
    directory(&dir.join("root"), 0o700)?;
    link(&dir.join("var/tmp"), Path::new("/tmp"))?;
    let etc = dir.join("etc");
    write_etc(&etc)?;
    for name in COPIED {
        copy(&Path::new("/etc").join(name), &etc.join(name))?;
    }
    programs(dir)
}

fn programs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut shared = Vec::new();
    for name in PROGRAMS {
        let host = Path::new("/").join(name);
        match fs::symlink_metadata(&host) {
            Ok(found) if found.is_symlink() => link(&dir.join(name), &fs::read_link(&host)?)?,
            Ok(found) if found.is_dir() => {
                directory(&dir.join(name), 0o755)?;
                shared.push(host);
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(shared)
}

fn write_etc(etc: &Path) -> io::Result<()> {
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/sh\n\
         shelluser:x:{SHELL_UID}:{SHELL_UID}::/home/shelluser:{shell}\n\
         nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
    );
    let group = format!("root:x:0:\ntty:x:5:\nshelluser:x:{SHELL_UID}:\nnogroup:x:65534:\n");
    let files = [
        ("passwd", passwd.as_str()),
        ("group", group.as_str()),
        ("hostname", "shell\n"),
        ("hosts", "127.0.0.1 localhost shell\n::1 localhost\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        ("profile", "export PATH\nPS1='\\u@\\h:\\w\\$ '\n"),
        // Replaced by a bind mount if the sandbox has a network.
        ("resolv.conf", ""),
    ];
    for (name, content) in files {
        file(&etc.join(name), content.as_bytes(), 0o644)?;
    }
    link(&etc.join("mtab"), Path::new("/proc/self/mounts"))?;
    link(&etc.join("os-release"), Path::new("/usr/lib/os-release"))
}

/// Copies links, directories and world-readable files.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(from) else { return Ok(()) };
    if let Some(parent) = to.parent() {
        directory(parent, 0o755)?;
    }
    if found.is_symlink() {
        link(to, &fs::read_link(from)?)
    } else if found.is_dir() {
        directory(to, 0o755)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        Ok(())
    } else if found.is_file() && found.permissions().mode() & 0o004 != 0 {
        file(to, &fs::read(from)?, 0o644)
    } else {
        Ok(())
    }
}
