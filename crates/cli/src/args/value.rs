//! Option values.

use std::path::PathBuf;

use clap::ValueEnum;
use reqwest::Url;

use super::server::MaxSize;

/// A duration in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u64);

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair(pub(crate) String, pub(crate) String);

/// A file of this machine, and its path in a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) local: PathBuf,
    pub(crate) path: String,
}

/// Which part of longer output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keep {
    Head,
    Tail,
    Both,
}

/// A shell that runs command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellName {
    Bash,
    Sh,
}

/// Reads `90`, `90s`, `10m`, `2h` or `1h30m`.
pub(super) fn seconds(text: &str) -> Result<Seconds, String> {
    let invalid = || "expected a duration such as 90s, 10m, 1h30m".to_owned();
    if let Ok(seconds) = text.parse() {
        return Ok(Seconds(seconds));
    }
    let (mut sum, mut remaining) = (0_u64, text);
    while let Some(end) = remaining.find(|c: char| !c.is_ascii_digit()) {
        let number: u64 = remaining[..end].parse().map_err(|_| invalid())?;
        let (unit, after) = match remaining.as_bytes()[end] {
            b's' => (1, &remaining[end + 1..]),
            b'm' => (60, &remaining[end + 1..]),
            b'h' => (3600, &remaining[end + 1..]),
            _ => return Err(invalid()),
        };
        sum = number.checked_mul(unit).and_then(|n| sum.checked_add(n)).ok_or_else(invalid)?;
        remaining = after;
    }
    if remaining.is_empty() && !text.is_empty() { Ok(Seconds(sum)) } else { Err(invalid()) }
}

/// Reads `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<Pair, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Pair(key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// Reads `LOCAL:PATH`. The last colon counts.
pub(super) fn file(text: &str) -> Result<File, String> {
    match text.rsplit_once(':') {
        Some((local, path)) if !local.is_empty() && !path.is_empty() => {
            Ok(File { local: local.into(), path: path.to_owned() })
        }
        _ => Err("expected LOCAL:PATH".to_owned()),
    }
}

/// Reads `CPU,MEMORY` or `CPU,MEMORY,DISK`.
pub(super) fn max_size(text: &str) -> Result<MaxSize, String> {
    let invalid = || "expected CPU,MEMORY or CPU,MEMORY,DISK, such as 1024,4096,8192".to_owned();
    let numbers = text.split(',').map(|number| number.trim().parse().ok().filter(|n| *n > 0));
    let numbers: Vec<u32> = numbers.collect::<Option<_>>().ok_or_else(invalid)?;
    match numbers[..] {
        [cpu, memory_mib] => Ok(MaxSize { cpu, memory_mib, disk_mib: None }),
        [cpu, memory_mib, disk] => Ok(MaxSize { cpu, memory_mib, disk_mib: Some(disk) }),
        _ => Err(invalid()),
    }
}

/// Reads the origin of web pages, such as `https://app.example`, in the form in which browsers send it.
pub(super) fn web_origin(text: &str) -> Result<String, String> {
    let url = http_url(text)?;
    if url.host_str().is_some_and(|host| host.contains('*')) {
        return Err("wildcards are not supported; repeat the option for each origin".to_owned());
    }
    let origin = url.origin().ascii_serialization();
    if url.as_str() == format!("{origin}/") {
        Ok(origin)
    } else {
        Err(format!("an origin has no path, query or user; did you mean {origin}?"))
    }
}

/// An http or https URL.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("the scheme must be http or https, not {other}")),
    }
}
