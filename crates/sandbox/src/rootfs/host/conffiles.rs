//! The configuration files of installed packages, as dpkg's database lists them: dpkg(1), deb-conffiles(5).

use std::fs;
use std::io;
use std::path::Path;

use md5::{Digest, Md5};

use super::sources::Sources;
use crate::digest;

const STATUS: &str = "var/lib/dpkg/status";

/// A configuration file below `/etc`, relative to it, and the MD5 of the content that its package has.
pub(super) type Conffile = (String, String);

/// The conffiles of all installed packages below `/etc`. Empty on a host without dpkg.
pub(super) fn list(host: &Path, sources: &mut Sources) -> io::Result<Vec<Conffile>> {
    let status = host.join(STATUS);
    sources.add(&status);
    match fs::read(&status) {
        Ok(text) => Ok(parse(&String::from_utf8_lossy(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Each line of the field `Conffiles` is a space, the path, the MD5, and possibly `obsolete`.
fn parse(status: &str) -> Vec<Conffile> {
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
