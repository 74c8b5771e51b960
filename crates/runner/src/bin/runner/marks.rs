//! Notes where the writer of merged output changes.

use std::collections::VecDeque;

use runner::protocol::Total;
use runner::protocol::marks::{MAX_MARKS, Writer, encode};

/// The changes of the writer, of which those in the kept part of the output become marks.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// The offset of the last change before those in `later`, and who writes from there on.
    before: Option<(u64, Writer)>,
    /// The latest changes behind the beginning that is kept. Which of them are in the end that is kept is known at
    /// the end.
    later: VecDeque<(u64, Writer)>,
    /// How many changes were in the beginning.
    early: usize,
    /// The offset of the last mark.
    marked: u64,
}

impl Marks {
    /// Notes the writer of the bytes from this offset on. Appends the mark if the change is in the beginning that is
    /// kept, which has this size. At most `tail` bytes of the end are kept.
    pub(crate) fn note(
        &mut self,
        offset: u64,
        writer: Writer,
        (head, tail): (u64, u64),
        marks: &mut Vec<u8>,
    ) {
        let latest = self.later.back().copied().or(self.before);
        if latest.is_some_and(|(_, latest)| latest == writer) {
            return;
        }
        if offset < head {
            self.before = Some((offset, writer));
            self.early += 1;
            if self.early <= MAX_MARKS {
                self.mark(offset, writer, marks);
            } else if self.early == MAX_MARKS + 1 {
                self.mark(offset, Writer::Unknown, marks);
            }
            return;
        }
        self.later.push_back((offset, writer));
        let is_cut = |offset: u64, end: u64| offset.saturating_add(tail) <= end;
        while self.later.len() > MAX_MARKS
            || self.later.front().is_some_and(|(first, _)| is_cut(*first, offset))
        {
            self.before = self.later.pop_front();
        }
    }

    /// Appends the marks of the end of the output. `head` is the size of its beginning, and `total` what is kept.
    pub(crate) fn finish(&mut self, head: u64, total: Total, marks: &mut Vec<u8>) {
        let start = if total.truncated() { total.bytes - total.tail } else { head };
        if start >= total.bytes {
            return;
        }
        let changes = self.before.into_iter().chain(std::mem::take(&mut self.later));
        let (earlier, within): (Vec<_>, Vec<_>) = changes.partition(|(offset, _)| *offset <= start);
        let writer = earlier.last().map_or(Writer::Unknown, |(_, writer)| *writer);
        self.mark(start, writer, marks);
        within.into_iter().for_each(|(offset, writer)| self.mark(offset, writer, marks));
    }

    fn mark(&mut self, offset: u64, writer: Writer, marks: &mut Vec<u8>) {
        encode(offset.saturating_sub(self.marked), writer, marks);
        self.marked = offset;
    }
}
