use testkit::job_id;

use super::*;

fn stored(stdout: u64) -> (StreamStats, StreamStats) {
    (StreamStats::default().plus(stdout), StreamStats::default())
}

/// The stream, the offset and the text of each write.
fn written(
    buffer: &OutputBuffer,
    stored: (StreamStats, StreamStats),
) -> Vec<(Stream, u64, String)> {
    let writes = buffer.writes(job_id("j"), stored).into_iter();
    let parts = writes.map(|write| {
        let Write::Output { stream, offset, bytes, .. } = write else { panic!("{write:?}") };
        (stream, offset, String::from_utf8(bytes.into_inner()).unwrap())
    });
    parts.collect()
}

#[test]
fn streams_that_alternate_make_one_write_each() {
    let mut buffer = OutputBuffer::default();
    for (stream, offset, bytes) in
        [(Stream::Stdout, 5, "a"), (Stream::Stderr, 0, "x"), (Stream::Stdout, 6, "b")]
    {
        buffer.add(stored(5), stream, offset, bytes.into());
    }
    let wanted = [(Stream::Stdout, 5, "ab".to_owned()), (Stream::Stderr, 0, "x".to_owned())];
    assert_eq!(written(&buffer, stored(5)), wanted);
    assert_eq!(buffer.len(), 3);
}

#[test]
fn output_that_the_runner_repeats_is_added_once() {
    let mut buffer = OutputBuffer::default();
    buffer.add(stored(2), Stream::Stdout, 0, "abcd".into());
    buffer.add(stored(2), Stream::Stdout, 0, "abcd".into());
    buffer.add(stored(2), Stream::Stdout, 3, "de".into());
    assert_eq!(written(&buffer, stored(2)), [(Stream::Stdout, 2, "cde".to_owned())]);
}

#[test]
fn output_behind_a_gap_is_dropped() {
    let mut buffer = OutputBuffer::default();
    buffer.add(stored(2), Stream::Stdout, 3, "d".into());
    assert_eq!(buffer.len(), 0);
}
