//! Output of jobs: chunks that follow one another without gaps, each keyed by its first byte's offset. Short
//! output that comes at once with the end of its job is part of the job's item.

use domain::{JobId, ports::Stream};

use super::{
    error::StoreError,
    keys::{self, Attributes, BYTES, Key, SK, inline},
    table::{Bounds, Range, Table},
};

/// Chunks in the first page; each further page has twice as many. A chunk has between 1 byte and
/// 256 KiB, and every byte that is read is billed.
const FIRST_PAGE: i32 = 4;
const LARGEST_PAGE: i32 = 256;

/// Up to `limit` bytes from `offset` on, across chunks.
pub(super) async fn read(
    table: &Table,
    job: JobId,
    stream: Stream,
    offset: u64,
    limit: u64,
) -> Result<Vec<u8>, StoreError> {
    let mut output =
        Output { bytes: Vec::new(), limit: usize::try_from(limit).unwrap_or(usize::MAX) };
    if output.is_full() {
        return Ok(output.bytes);
    }
    let record = table.get(&Key::record(job)).await?;
    if let Some(whole) = record.as_ref().and_then(|item| item.get(inline(stream))?.as_b().ok()) {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        output.append(whole.as_ref().get(from..).unwrap_or_default());
        return Ok(output.bytes);
    }
    let last = Key::chunk(job, stream, u64::MAX).sk;
    let range =
        Range::of(job.to_string(), Bounds::Between(Key::chunk(job, stream, offset).sk, last));
    let mut pages = table.pages(range);
    pages.set_size(FIRST_PAGE);
    let first_page = pages.next_non_empty().await?;

    if !starts_at(&first_page, stream, offset)? {
        output.append(&end_of_previous(table, job, stream, offset).await?);
    }
    output.append_all(&first_page, stream)?;
    let mut size = FIRST_PAGE;
    while !output.is_full() {
        size = (size * 2).min(LARGEST_PAGE);
        pages.set_size(size);
        let Some(page) = pages.next().await? else { break };
        output.append_all(&page, stream)?;
    }
    Ok(output.bytes)
}

/// Whether the page begins with the chunk at this offset. If not, the byte at `offset` is inside the
/// chunk before the page, or does not exist yet.
fn starts_at(page: &[Attributes], stream: Stream, offset: u64) -> Result<bool, StoreError> {
    match page.first() {
        Some(item) => Ok(decode(item, stream)?.0 == offset),
        None => Ok(offset == 0),
    }
}

/// The bytes from `offset` on of the chunk that begins before it.
async fn end_of_previous(
    table: &Table,
    job: JobId,
    stream: Stream,
    offset: u64,
) -> Result<Vec<u8>, StoreError> {
    let first = Key::chunk(job, stream, 0).sk;
    let end = Key::chunk(job, stream, offset).sk;
    let range = Range::of(job.to_string(), Bounds::Between(first, end));
    let page = table.pages(range.newest_first().paged(1)).next().await?.unwrap_or_default();
    let Some(item) = page.first() else { return Ok(Vec::new()) };
    let (start, bytes) = decode(item, stream)?;
    let skip = usize::try_from(offset - start).unwrap_or(usize::MAX);
    Ok(bytes.get(skip..).unwrap_or_default().to_vec())
}

/// Bytes collected so far, at most `limit`.
struct Output {
    bytes: Vec<u8>,
    limit: usize,
}

impl Output {
    const fn is_full(&self) -> bool {
        self.bytes.len() >= self.limit
    }

    fn append(&mut self, bytes: &[u8]) {
        let free = self.limit - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(free)]);
    }

    fn append_all(&mut self, page: &[Attributes], stream: Stream) -> Result<(), StoreError> {
        for item in page {
            self.append(decode(item, stream)?.1);
        }
        Ok(())
    }
}

/// A chunk's offset and bytes.
fn decode(item: &Attributes, stream: Stream) -> Result<(u64, &[u8]), StoreError> {
    let read = || {
        let start = keys::text(item, SK)?.strip_prefix(keys::output(stream))?.parse().ok()?;
        Some((start, item.get(BYTES)?.as_b().ok()?.as_ref()))
    };
    read().ok_or(StoreError::Decode)
}
