//! The parts of the host's `/etc` that sandboxes see: what programs need, without secrets.
//!
//! A file is copied if every user may read it, it looks like no secret, and either its path is in
//! [`SHOWN`], or it is a configuration file of a package and unmodified. An unmodified one has the content
//! that the distribution publishes; a modified one may contain passwords.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::sources::Sources;
use super::{conffiles, directory, is_public};

/// Paths below `/etc` that are copied, modified or not. `*` matches a part of a name.
const SHOWN: &[&str] = &[
    "ImageMagick-*",
    "OpenCL",
    "R/Makeconf",
    "R/Renviron",
    "R/ldpaths",
    "R/repositories",
    "X11/rgb.txt",
    "alternatives",
    "bash_completion.d",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "dictionaries-common",
    "fonts",
    "gai.conf",
    "ghostscript",
    "glvnd",
    "groff",
    "host.conf",
    "inputrc",
    "java*",
    "jvm*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ld-musl-*.path",
    "locale.alias",
    "locale.conf",
    "localtime",
    "magic",
    "magic.mime",
    "man_db.conf",
    "manpath.config",
    "maven/logging",
    "maven/m2.conf",
    "mime.types",
    "networks",
    "openssl",
    "perl",
    "php/*/cli/conf.d",
    "pki/ca-trust/extracted",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "pki/tls/ct_log_list.cnf",
    "pki/tls/openssl.cnf",
    "pki/tls/openssl.d",
    "protocols",
    "python*",
    "rpc",
    "ruby*",
    "services",
    "sgml",
    "shells",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/ct_log_list.cnf",
    "ssl/openssl.cnf",
    "terminfo",
    "texmf",
    "timezone",
    "vim",
    "vulkan",
    "xml",
];

/// Paths below `/etc` that are never copied, although links in `/usr` may point to them: credentials,
/// descriptions of this host, and the configuration of its services.
const REFUSED: &[&str] = &[
    "NetworkManager",
    "apt",
    "cloud",
    "cni",
    "containers",
    "cron*",
    "docker",
    "environment",
    "fstab",
    "gitconfig",
    "group*",
    "gshadow*",
    "hostname",
    "init.d",
    "issue*",
    "krb5*",
    "kubernetes",
    "ldap",
    "machine-id",
    "motd",
    "netrc",
    "npmrc",
    "pam.conf",
    "pam.d",
    "passwd*",
    "perl/CPAN",
    "pip.conf",
    "polkit-1",
    "resolv.conf",
    "security",
    "shadow*",
    "ssh",
    "ssl/private",
    "subgid*",
    "subuid*",
    "sudo*",
    "systemd",
    "wireguard",
];

/// Words in the names of files that are never copied.
const SECRET_NAMES: [&str; 8] =
    [".key", ".keytab", ".p12", ".pfx", "credential", "passw", "private", "secret"];
/// In the content of every private key in the format PEM.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";
/// A larger file is no configuration of a program.
const MAX_BYTES: u64 = 16 << 20;

/// Copies from `/etc` of `host` to the directory `to`.
pub(super) fn copy(host: &Path, to: &Path, sources: &mut Sources) -> io::Result<()> {
    let from = host.join("etc");
    let conffiles = conffiles::list(host, sources)?;
    sources.add(&from);
    let mut copy = Copy { from, to: to.to_owned(), sources, made: HashSet::new() };
    for pattern in SHOWN {
        copy.matching(&PathBuf::new(), pattern)?;
    }
    for (name, md5) in conffiles {
        copy.conffile(Path::new(&name), &md5)?;
    }
    Ok(())
}

struct Copy<'a> {
    from: PathBuf,
    to: PathBuf,
    sources: &'a mut Sources,
    /// The directories that exist in `to`.
    made: HashSet<PathBuf>,
}

impl Copy<'_> {
    /// Copies the entries of the directory `dir` whose path from there matches the pattern.
    fn matching(&mut self, dir: &Path, pattern: &str) -> io::Result<()> {
        let (first, rest) = pattern.split_once('/').unwrap_or((pattern, ""));
        let mut names = vec![PathBuf::from(first)];
        if first.contains('*') {
            names = self.names(dir)?;
            names.retain(|name| matches(first, &name.to_string_lossy()));
        }
        for name in names {
            let path = dir.join(name);
            if rest.is_empty() {
                self.entry(&path)?;
            } else if is_real_directory(&self.from.join(&path)) {
                self.sources.add(&self.from.join(&path));
                self.matching(&path, rest)?;
            }
        }
        Ok(())
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.from.join(dir))?;
        entries.map(|entry| Ok(PathBuf::from(entry?.file_name()))).collect()
    }

    /// Copies a link, a directory with what is in it, or a file.
    fn entry(&mut self, path: &Path) -> io::Result<()> {
        let from = self.from.join(path);
        let Ok(found) = fs::symlink_metadata(&from) else { return Ok(()) };
        if is_refused(path) {
            return Ok(());
        }
        if found.is_symlink() {
            self.make_parents(path)?;
            return symlink(fs::read_link(from)?, self.to.join(path));
        }
        self.sources.add(&from);
        if !is_public(&found) {
            return Ok(());
        }
        if found.is_dir() {
            self.make_parents(path)?;
            directory(&self.to.join(path), 0o755)?;
            return self.names(path)?.iter().try_for_each(|name| self.entry(&path.join(name)));
        }
        self.file(path, |_| true)
    }

    /// Copies a configuration file of a package, if it is unmodified.
    fn conffile(&mut self, path: &Path, md5: &str) -> io::Result<()> {
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || is_refused(path) || fs::symlink_metadata(self.to.join(path)).is_ok() {
            return Ok(());
        }
        for dir in path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
            let dir = self.from.join(dir);
            self.sources.add(&dir);
            if !fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir() && is_public(&found)) {
                return Ok(());
            }
        }
        self.sources.add(&self.from.join(path));
        self.file(path, |content| conffiles::is_unmodified(content, md5))
    }

    fn file(&mut self, path: &Path, is_accepted: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        let from = self.from.join(path);
        let Ok(found) = fs::symlink_metadata(&from) else { return Ok(()) };
        if !found.is_file() || !is_public(&found) || found.len() > MAX_BYTES {
            return Ok(());
        }
        let content = fs::read(&from)?;
        if has_private_key(&content) || !is_accepted(&content) {
            return Ok(());
        }
        self.make_parents(path)?;
        let to = self.to.join(path);
        fs::write(&to, content)?;
        let mode = found.permissions().mode() & 0o755 | 0o444;
        fs::set_permissions(to, Permissions::from_mode(mode))
    }

    fn make_parents(&mut self, path: &Path) -> io::Result<()> {
        let mut dir = PathBuf::new();
        for part in path.parent().into_iter().flat_map(Path::components) {
            dir.push(part);
            if self.made.insert(dir.clone()) {
                directory(&self.to.join(&dir), 0o755)?;
            }
        }
        Ok(())
    }
}

fn is_real_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && is_public(&found))
}

/// Whether the path below `/etc` is never copied.
pub(super) fn is_refused(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let refused = |pattern: &&str| {
        let mut parts = path.components().map(|part| part.as_os_str().to_string_lossy());
        pattern.split('/').all(|pattern| parts.next().is_some_and(|part| matches(pattern, &part)))
    };
    SECRET_NAMES.iter().any(|word| name.contains(word)) || REFUSED.iter().any(refused)
}

/// Whether the name matches the pattern, in which one `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

fn has_private_key(content: &[u8]) -> bool {
    content.split(|byte| *byte == b'\n').any(|line| line.trim_ascii_end().ends_with(PRIVATE_KEY))
}
