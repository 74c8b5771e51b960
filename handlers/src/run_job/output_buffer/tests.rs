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
fn output_behind_a_gap_is_stored_behind_the_output_before_it() {
    let mut buffer = OutputBuffer::default();
    buffer.add(stored(2), Stream::Stdout, 2, "cd".into());
    buffer.add(stored(2), Stream::Stdout, 1000, "yz".into());
    buffer.add(stored(2), Stream::Stdout, 1001, "z!".into());
    assert_eq!(written(&buffer, stored(2)), [(Stream::Stdout, 2, "cdyz!".to_owned())]);
    let (stdout, _) = buffer.advance(stored(2));
    let gap = Some(Gap { from: 4, to: 1000 });
    assert_eq!((stdout.stored, stdout.gap, stdout.end()), (7, gap, 1003));
    assert!(stdout.truncated());
}

#[test]
fn a_gap_on_record_is_kept_and_a_second_one_is_refused() {
    let mut buffer = OutputBuffer::default();
    buffer.add(stored(4), Stream::Stdout, 1000, "x".into());
    let on_record = buffer.advance(stored(4));
    buffer.clear();
    buffer.add(on_record, Stream::Stdout, 1000, "xy".into());
    buffer.add(on_record, Stream::Stdout, 2000, "z".into());
    assert_eq!(written(&buffer, on_record), [(Stream::Stdout, 5, "y".to_owned())]);
    assert_eq!(buffer.advance(on_record).0.gap, Some(Gap { from: 4, to: 1000 }));
}

#[test]
fn a_gap_does_not_end_within_a_character() {
    let mut buffer = OutputBuffer::default();
    buffer.add(stored(1), Stream::Stdout, 10, "€ 5".as_bytes()[1..].to_vec());
    assert_eq!(written(&buffer, stored(1)), [(Stream::Stdout, 1, " 5".to_owned())]);
    assert_eq!(buffer.advance(stored(1)).0.gap, Some(Gap { from: 1, to: 12 }));
}
