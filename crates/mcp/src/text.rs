//! Makes a command's output readable for a model.

use anstream::adapter::strip_str;

/// Output as text: bytes that are no UTF-8 are shown as U+FFFD, sequences for terminals and control
/// characters are removed, and of a line that overwrites itself (a progress bar) its last state is left.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text =
        if text.contains('\u{1b}') { strip_str(&text).to_string() } else { text.into_owned() };
    let mut readable = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line.strip_suffix('\r').unwrap_or(line), "\n"),
            None => (line.strip_suffix('\r').unwrap_or(line), ""),
        };
        let last = line.rsplit('\r').next().unwrap_or(line);
        readable.extend(last.chars().filter(|c| *c == '\t' || !c.is_control()));
        readable.push_str(end);
    }
    readable
}

/// The bytes without the rest of a character at their beginning and the start of one at their end: those
/// that were cut where a part of the output begins and ends.
pub(crate) fn without_cut_characters(bytes: &[u8]) -> &[u8] {
    let is_continuation = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    let skipped = bytes.iter().take(3).take_while(|byte| is_continuation(byte)).count();
    let bytes = if skipped < bytes.len() { &bytes[skipped..] } else { bytes };
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        Ok(_) | Err(_) => bytes,
    }
}

#[cfg(test)]
mod tests;
