//! The times of the entries of an archive.

use std::io::Read;

use rustix::fs::Timespec;
use tar::Entry;

use super::super::error::Failure;
use super::{invalid, refuse};

/// Reads the extended attributes of an entry in the format pax, of POSIX, and returns its time if they have one.
/// Refuses a sparse file whose map is a part of its content, which would be written as content.
pub(super) fn extended(entry: &mut Entry<'_, impl Read>) -> Result<Option<Timespec>, Failure> {
    let mut time = None;
    let Some(extensions) = entry.pax_extensions().map_err(invalid)? else { return Ok(None) };
    for extension in extensions {
        let extension = extension.map_err(invalid)?;
        let key = extension.key_bytes();
        if key.starts_with(b"GNU.sparse.") {
            return Err(refuse("it has a sparse file in POSIX format; make it with --format=gnu"));
        }
        if key == b"mtime" {
            // One that is no number is ignored, as tar(1) does it.
            time = extension.value().ok().and_then(seconds);
        }
    }
    Ok(time)
}

/// The time of the header of an entry, in whole seconds.
pub(super) fn of_header(entry: &Entry<'_, impl Read>) -> Result<Timespec, Failure> {
    let seconds = entry.header().mtime().map_err(invalid)?;
    // A time before 1970 is negative in the archive, which the tar crate reads without its sign.
    Ok(Timespec { tv_sec: seconds.cast_signed(), tv_nsec: 0 })
}

/// Reads a decimal number of seconds, such as `1700000000.25` or `-0.5`. Digits beyond nanoseconds are cut.
fn seconds(text: &str) -> Option<Timespec> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanoseconds: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (tv_sec, tv_nsec) = (whole.parse::<i64>().ok()?, nanoseconds.parse::<i64>().ok()?);
    if whole.starts_with('-') && tv_nsec > 0 {
        return Some(Timespec { tv_sec: tv_sec.checked_sub(1)?, tv_nsec: 1_000_000_000 - tv_nsec });
    }
    Some(Timespec { tv_sec, tv_nsec })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_sign_and_fraction() {
        for (text, expected) in [
            ("1700000000", Some((1_700_000_000, 0))),
            ("1700000000.25", Some((1_700_000_000, 250_000_000))),
            ("1700000000.1234567899", Some((1_700_000_000, 123_456_789))),
            ("-300000000", Some((-300_000_000, 0))),
            ("-1.25", Some((-2, 750_000_000))),
            ("-0.5", Some((-1, 500_000_000))),
            ("1e-05", None),
            ("1.-5", None),
            ("-9223372036854775808.5", None),
            ("", None),
        ] {
            let read = seconds(text).map(|time| (time.tv_sec, time.tv_nsec));
            assert_eq!(read, expected, "{text}");
        }
    }
}
