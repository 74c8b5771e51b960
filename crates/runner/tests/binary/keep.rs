//! Which part of a long output is kept.

use runner::protocol::{Event, Keep, Offsets, Output, Request, Start, Stream, Total};

use crate::shell::{Caller, Shell, sh};

/// 8 bytes a line, so that a line shows its offset.
const NUMBERS: &str = "i=0; while [ $i -lt 1000 ]; do printf '%07d\\n' $i; i=$((i+1)); done";

fn numbers(lines: std::ops::Range<u64>) -> String {
    lines.map(|line| format!("{line:07}\n")).collect()
}

fn keeping(keep: Keep, max_output_bytes: u64) -> Start {
    Start { keep, max_output_bytes, ..sh("job_1", NUMBERS) }
}

/// The stdout of the followed job: pieces that follow each other are joined.
fn pieces(caller: &mut Caller) -> (Vec<(u64, String)>, Total) {
    let mut pieces: Vec<(u64, String)> = Vec::new();
    loop {
        let event = caller.next();
        if let Event::Output(Output { stream: Stream::Stdout, offset, bytes }) = event {
            let text = String::from_utf8(bytes).unwrap();
            match pieces.last_mut() {
                Some((start, joined)) if *start + joined.len() as u64 == offset => {
                    joined.push_str(&text)
                }
                _ => pieces.push((offset, text)),
            }
        } else if let Event::Exited(exit) = event {
            return (pieces, exit.stdout);
        } else {
            assert_eq!(event, Event::Started);
        }
    }
}

fn run(shell: &Shell, start: Start) -> (Vec<(u64, String)>, Total) {
    let mut caller = shell.connect();
    caller.send(&Request::Start(start));
    pieces(&mut caller)
}

fn attach(shell: &Shell, stdout: u64) -> Vec<(u64, String)> {
    let mut caller = shell.connect();
    let from = Offsets { stdout, stderr: 0 };
    caller.send(&Request::Attach { job_id: "job_1".into(), from });
    pieces(&mut caller).0
}

#[test]
fn the_head_is_kept_by_default() {
    let (pieces, total) = run(&Shell::boot(), keeping(Keep::default(), 800));
    assert_eq!(pieces, [(0, numbers(0..100))]);
    assert_eq!(total, Total { bytes: 8000, kept: 800, tail: 0 });
}

#[test]
fn the_tail_is_kept_with_its_offset() {
    let (pieces, total) = run(&Shell::boot(), keeping(Keep::Tail, 800));
    assert_eq!(pieces, [(7200, numbers(900..1000))]);
    assert_eq!(total, Total { bytes: 8000, kept: 800, tail: 800 });
    assert!(total.truncated());
}

#[test]
fn both_ends_are_kept_and_the_gap_is_visible() {
    let shell = Shell::boot();
    let (pieces, total) = run(&shell, keeping(Keep::Both, 1600));
    assert_eq!(pieces, [(0, numbers(0..100)), (7200, numbers(900..1000))]);
    assert_eq!(total, Total { bytes: 8000, kept: 1600, tail: 800 });
    assert_eq!(attach(&shell, 792), [(792, numbers(99..100)), (7200, numbers(900..1000))]);
    assert_eq!(attach(&shell, 3000), [(7200, numbers(900..1000))]);
    assert_eq!(attach(&shell, 7992), [(7992, numbers(999..1000))]);
    assert!(attach(&shell, 8000).is_empty() && attach(&shell, u64::MAX).is_empty());
}

#[test]
fn a_limit_that_is_not_a_multiple_of_the_output_keeps_the_right_bytes() {
    for limit in [1, 2, 3, 7, 1601, 7999] {
        let (pieces, total) = run(&Shell::boot(), keeping(Keep::Both, limit));
        let (head, tail) = (limit - limit / 2, limit / 2);
        let all = numbers(0..1000);
        let mut expected = vec![(0, all[..usize::try_from(head).unwrap()].to_owned())];
        if tail > 0 {
            let start = 8000 - tail;
            expected.push((start, all[usize::try_from(start).unwrap()..].to_owned()));
        }
        if limit == 7999 {
            expected.retain(|(offset, _)| *offset == 0);
            assert_eq!(pieces.len(), 2);
            assert_eq!(pieces[0], expected[0]);
        } else {
            assert_eq!(pieces, expected, "{limit}");
        }
        assert_eq!(total, Total { bytes: 8000, kept: limit, tail });
    }
}

#[test]
fn an_output_within_the_limit_is_whole_whatever_is_kept() {
    for keep in [Keep::Head, Keep::Tail, Keep::Both] {
        for limit in [8000, 8001, 20_000] {
            let (pieces, total) = run(&Shell::boot(), keeping(keep, limit));
            assert_eq!(pieces, [(0, numbers(0..1000))], "{keep:?} {limit}");
            assert_eq!(total, Total { bytes: 8000, kept: 8000, tail: 0 });
        }
    }
}

#[test]
fn a_flood_keeps_its_last_bytes() {
    let line = "head -c 30000000 /dev/zero; printf 'the error'";
    let start = Start { keep: Keep::Both, max_output_bytes: 1 << 20, ..sh("job_1", line) };
    let (pieces, total) = run(&Shell::boot(), start);
    assert_eq!(total, Total { bytes: 30_000_009, kept: 1 << 20, tail: 1 << 19 });
    assert_eq!(pieces.len(), 2);
    assert!(pieces[1].1.ends_with("\0the error"));
}

#[test]
fn merged_output_is_cut_as_one_stream() {
    let line =
        "printf 0123; printf 4567 >&2; head -c 30000000 /dev/zero >&2; printf the; printf end >&2";
    let pieces = |pieces: &[(u64, &str)]| -> Vec<_> {
        pieces.iter().map(|(offset, text)| (*offset, (*text).to_owned())).collect()
    };
    for (keep, tail, kept) in [
        (Keep::Head, 0, pieces(&[(0, "01234567\0\0\0\0")])),
        (Keep::Both, 6, pieces(&[(0, "012345"), (30_000_008, "theend")])),
        (Keep::Tail, 12, pieces(&[(30_000_002, "\0\0\0\0\0\0theend")])),
    ] {
        let shell = Shell::boot();
        let start = Start { merge: true, keep, max_output_bytes: 12, ..sh("job_1", line) };
        let total = Total { bytes: 30_000_014, kept: 12, tail };
        assert_eq!(run(&shell, start), (kept.clone(), total));
        assert_eq!(attach(&shell, 0), kept);
    }
}

#[test]
fn on_a_full_disk_the_end_is_kept_as_far_as_there_is_space() {
    let Some(shell) = Shell::boot_on_a_small_disk() else { return };
    let line = "head -c 500000 /dev/zero; printf 'the error'; exit 3";
    let start = Start { keep: Keep::Both, max_output_bytes: 300_000, ..sh("job_1", line) };
    let (pieces, total) = run(&shell, start);
    assert_eq!(total.bytes, 500_009);
    assert!(total.truncated() && total.tail > 0 && total.kept < 300_000, "{total:?}");
    assert!(pieces.last().unwrap().1.ends_with("\0the error"));
}
