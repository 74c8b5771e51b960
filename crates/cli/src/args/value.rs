//! Values that are more than text.

/// A span of time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) u64);

/// A name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair(pub(crate) String, pub(crate) String);

/// Reads `90`, `90s`, `10m`, `2h` or `1h30m`.
pub(super) fn span(text: &str) -> Result<Span, String> {
    let wrong = || "not a time such as 90s, 10m, 1h30m".to_owned();
    if let Ok(seconds) = text.parse() {
        return Ok(Span(seconds));
    }
    let (mut sum, mut rest) = (0_u64, text);
    while let Some(end) = rest.find(|c: char| !c.is_ascii_digit()) {
        let number: u64 = rest[..end].parse().map_err(|_| wrong())?;
        let (unit, after) = match rest.as_bytes()[end] {
            b's' => (1, &rest[end + 1..]),
            b'm' => (60, &rest[end + 1..]),
            b'h' => (3600, &rest[end + 1..]),
            _ => return Err(wrong()),
        };
        sum = number.checked_mul(unit).and_then(|n| sum.checked_add(n)).ok_or_else(wrong)?;
        rest = after;
    }
    if rest.is_empty() && !text.is_empty() { Ok(Span(sum)) } else { Err(wrong()) }
}

/// Reads `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<Pair, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Pair(key.to_owned(), value.to_owned())),
        _ => Err("not of the form KEY=VALUE".to_owned()),
    }
}
