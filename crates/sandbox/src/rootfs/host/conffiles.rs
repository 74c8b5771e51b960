//! The configuration files of installed packages, as the databases of dpkg and ucf list them: dpkg(1),
//! deb-conffiles(5), ucf(1).

use std::fs;
use std::io;
use std::path::Path;

use md5::{Digest, Md5};

use super::sources::Sources;
use crate::digest;

const DPKG_STATUS: &str = "var/lib/dpkg/status";
const UCF_HASHES: &str = "var/lib/ucf/hashfile";

/// A configuration file below `/etc`, relative to it, and the MD5 of the content that its package has.
pub(super) type Conffile = (String, String);

/// The configuration files of all installed packages below `/etc`. Empty on a host without dpkg.
pub(super) fn list(host: &Path, sources: &mut Sources) -> io::Result<Vec<Conffile>> {
    let mut read = |name: &str| {
        let path = host.join(name);
        sources.add(&path);
        match fs::read(&path) {
            Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    };
    let mut conffiles = of_dpkg(&read(DPKG_STATUS)?);
    conffiles.extend(of_ucf(&read(UCF_HASHES)?));
    Ok(conffiles)
}

/// Each line is the MD5 of a package's version of a file, and the file's path.
fn of_ucf(hashes: &str) -> Vec<Conffile> {
    let lines = hashes.lines().filter_map(|line| {
        let (md5, path) = line.split_once(' ')?;
        Some((path.trim_start().strip_prefix("/etc/")?.to_owned(), md5.to_owned()))
    });
    lines.collect()
}

/// Each line of the field `Conffiles` is a space, the path, the MD5, and possibly `obsolete`.
fn of_dpkg(status: &str) -> Vec<Conffile> {
    let mut conffiles = Vec::new();
    let mut in_field = false;
    for line in status.lines() {
        if !line.starts_with(' ') {
            in_field = line.starts_with("Conffiles:");
        } else if in_field {
            let mut words = line.split_ascii_whitespace();
            let path = words.next().and_then(|path| path.strip_prefix("/etc/"));
            if let (Some(path), Some(md5)) = (path, words.next()) {
                conffiles.push((path.to_owned(), md5.to_owned()));
            }
        }
    }
    conffiles
}

/// Whether the content is what the package has, which everybody may know.
pub(super) fn is_unmodified(content: &[u8], md5: &str) -> bool {
    digest::encode(&Md5::digest(content)) == md5
}
