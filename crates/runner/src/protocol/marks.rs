//! The marks of merged output: which part of it the command has written to stdout, and which to stderr.
//!
//! They are the content of the job's second stream, which such a job has no other use for. Each mark is a number
//! in LEB128, as in WebAssembly and DWARF: the lowest two bits are the [`Writer`] of what follows the mark, the
//! others are the number of bytes from the mark before it, or from the start of the output. A mark never comes
//! later than the bytes that follow it.

/// Largest number of marks that follow changes in the kept beginning of the output, and as many in its kept end.
pub const MAX_MARKS: usize = 16_000;
/// Largest size of all marks of a job. A distance within kept output takes four bytes at most, and the first one of
/// the kept end, as every number of 64 bits, ten.
pub const MAX_MARK_BYTES: u64 = 2 * 4 * MAX_MARKS as u64 + 64;

/// Where a command has written a part of its merged output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    Stdout = 0,
    Stderr = 1,
    /// There were too many changes.
    Unknown = 2,
}

/// Appends a mark that many bytes behind the one before it.
pub fn encode(distance: u64, writer: Writer, into: &mut Vec<u8>) {
    let mut rest = distance << 2 | writer as u64;
    while rest >= 0x80 {
        into.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    into.push(rest.to_le_bytes()[0]);
}
