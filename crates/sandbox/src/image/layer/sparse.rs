//! Sparse files in GNU's PAX format 1.0:
//! <https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html>.

use std::io::{self, BufRead, BufReader, Read};

/// Unit of the map's length, which is padded.
const BLOCK: usize = 512;
/// A longer map is not plausible.
const MAX_PARTS: u64 = 1 << 20;

/// The content of a sparse file with its holes as zeros.
pub(super) struct Expanded<R> {
    data: BufReader<R>,
    /// Offset and length of the parts that have data, the last one first.
    parts: Vec<(u64, u64)>,
    position: u64,
    length: u64,
}

impl<R: Read> Expanded<R> {
    /// Reads the map: decimal numbers, one per line. The first is the number of parts.
    pub(super) fn new(entry: R, length: u64) -> io::Result<Self> {
        let mut data = BufReader::new(entry);
        let mut map_bytes = 0;
        let count = number(&mut data, &mut map_bytes)?;
        if count > MAX_PARTS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut parts = Vec::new();
        let mut end = 0;
        for _ in 0..count {
            let offset = number(&mut data, &mut map_bytes)?;
            let size = number(&mut data, &mut map_bytes)?;
            let next = offset.checked_add(size).filter(|next| offset >= end && *next <= length);
            end = next.ok_or(io::ErrorKind::InvalidData)?;
            parts.push((offset, size));
        }
        let padding = map_bytes.next_multiple_of(BLOCK) - map_bytes;
        data.read_exact(&mut vec![0; padding])?;
        parts.reverse();
        Ok(Self { data, parts, position: 0, length })
    }
}

fn number(data: &mut impl BufRead, read: &mut usize) -> io::Result<u64> {
    let mut line = Vec::new();
    *read += data.take(32).read_until(b'\n', &mut line)?;
    let text = String::from_utf8_lossy(&line);
    text.trim_end().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

impl<R: Read> Read for Expanded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.parts.last().is_some_and(|(offset, size)| offset + size <= self.position) {
            self.parts.pop();
        }
        let next = self.parts.last().copied();
        let (end, is_hole) = match next {
            Some((offset, size)) if offset <= self.position => (offset + size, false),
            Some((offset, _)) => (offset, true),
            None => (self.length, true),
        };
        let wanted = usize::try_from(end - self.position).unwrap_or(usize::MAX);
        let wanted = wanted.min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        if is_hole {
            buffer.fill(0);
        } else {
            self.data.read_exact(buffer)?;
        }
        self.position += wanted as u64;
        Ok(wanted)
    }
}
