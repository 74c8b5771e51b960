//! The marks of merged output: which part of it the command has written to stdout, and which to stderr.
//!
//! A runner sends them as the stream stderr, which merged output has no other use for. Each mark is a number in
//! LEB128: the lowest two bits say who has written what follows the mark (0 stdout, 1 stderr, 2 unknown), the others
//! how many bytes the mark is behind the one before it, or behind the start of the output.

use crate::{job::StreamStats, ports::Stream};

/// The most bytes that are stored of the marks of a job. The runner ends them below that: after 16,000 changes in the
/// kept beginning of the output, and before the last 16,000 in its kept end.
pub const MAX_MARK_BYTES: u64 = 128_064;

/// Says to which stream the command has written what follows, up to the next mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Bytes from the start of the merged output.
    pub offset: u64,
    /// None if it is not known.
    pub stream: Option<Stream>,
}

/// The stored marks of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks(Vec<Mark>);

impl Marks {
    /// Reads them. `stats` are those of the stream that carries them: if not all of it is stored, nothing is known
    /// from the last mark on.
    pub fn read(bytes: &[u8], stats: StreamStats) -> Self {
        let (mut marks, mut offset, mut rest) = (Vec::new(), 0_u64, bytes);
        while let Some((number, behind)) = number(rest) {
            rest = behind;
            offset = offset.saturating_add(number >> 2);
            let stream = match number & 3 {
                0 => Some(Stream::Stdout),
                1 => Some(Stream::Stderr),
                _ => None,
            };
            marks.push(Mark { offset, stream });
        }
        if (stats.truncated() || !rest.is_empty())
            && let Some(last) = marks.last_mut()
        {
            last.stream = None;
        }
        Self(marks)
    }

    /// The marks of a part of the output. The first one is at its start.
    pub fn of_part(&self, from: u64, to: u64) -> Vec<Mark> {
        if from >= to {
            return Vec::new();
        }
        let behind = self.0.partition_point(|mark| mark.offset <= from);
        let stream = behind.checked_sub(1).and_then(|last| self.0.get(last)?.stream);
        let mut part = vec![Mark { offset: from, stream }];
        for mark in self.0.iter().skip(behind).take_while(|mark| mark.offset < to) {
            if let Some(last) = part.last_mut().filter(|last| last.offset == mark.offset) {
                *last = *mark;
            } else if part.last().is_some_and(|last| last.stream != mark.stream) {
                part.push(*mark);
            }
        }
        part
    }
}

/// The first number, and the bytes behind it; none if there is no whole one.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let shift = u32::try_from(index).ok()? * 7;
        number |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests;
