//! Output: pieces that follow one another without gaps, each under its first byte's offset.

use domain::{JobId, ports::Stream};

use super::{
    fault::Fault,
    keys::{self, Attributes, BYTES, Key, SK},
    table::{Bounds, Range, Table},
};

/// How many pieces the first page has; each further one has twice as many. Pieces may be tiny or have
/// a quarter of a megabyte, and what is read is paid for.
const FIRST_PAGE: i32 = 4;
const LARGEST_PAGE: i32 = 256;

/// Bytes from `offset` on, across pieces.
pub(super) async fn read(
    table: &Table,
    job: JobId,
    stream: Stream,
    offset: u64,
    limit: u64,
) -> Result<Vec<u8>, Fault> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    let last = Key::piece(job, stream, u64::MAX).sk;
    let range =
        Range::of(job.to_string(), Bounds::Between(Key::piece(job, stream, offset).sk, last));
    let mut pages = table.pages(range);
    let mut size = FIRST_PAGE;
    let mut first = true;
    while found.len() < limit {
        pages.of_size(size);
        let Some(items) = pages.next().await? else { break };
        for item in items {
            let (start, bytes) = piece(&item, stream)?;
            // Who reads piece by piece starts at one. Else what comes first is in the piece before.
            if std::mem::take(&mut first) && start != offset {
                append(&mut found, &before(table, job, stream, offset).await?, limit);
            }
            append(&mut found, bytes, limit);
        }
        size = (size * 2).min(LARGEST_PAGE);
    }
    if first && offset > 0 {
        append(&mut found, &before(table, job, stream, offset).await?, limit);
    }
    Ok(found)
}

fn append(found: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let room = limit - found.len();
    found.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// What the piece before `offset` has from there on.
async fn before(table: &Table, job: JobId, stream: Stream, offset: u64) -> Result<Vec<u8>, Fault> {
    let first = Key::piece(job, stream, 0).sk;
    let end = Key::piece(job, stream, offset).sk;
    let range = Range::of(job.to_string(), Bounds::Between(first, end));
    let page = table.pages(range.newest_first().paged(1)).next().await?.unwrap_or_default();
    let Some(item) = page.first() else { return Ok(Vec::new()) };
    let (start, bytes) = piece(item, stream)?;
    let skip = usize::try_from(offset - start).unwrap_or(usize::MAX);
    Ok(bytes.get(skip..).unwrap_or_default().to_vec())
}

fn piece(item: &Attributes, stream: Stream) -> Result<(u64, &[u8]), Fault> {
    let read = || {
        let start = keys::text(item, SK)?.strip_prefix(keys::output(stream))?.parse().ok()?;
        Some((start, item.get(BYTES)?.as_b().ok()?.as_ref()))
    };
    read().ok_or(Fault::Record("decoded"))
}
