//! Marks of merged output: which part of it was written to stdout, and which to stderr.

use runner::protocol::marks::{MAX_MARK_BYTES, MAX_MARKS, Writer};
use runner::protocol::{Cause, Event, Exit, Keep, Offsets, Output, Request, Start, Stream, Total};

use crate::shell::{Caller, Shell, argv, sh};

/// What a caller received of merged output.
struct Merged {
    /// Pieces with their offsets; those that follow each other are joined.
    pieces: Vec<(u64, Vec<u8>)>,
    /// Offsets, each with the writer of what follows.
    marks: Vec<(u64, Writer)>,
    mark_bytes: Vec<u8>,
    exit: Exit,
}

impl Merged {
    /// Follows a job to its end. Checks that no mark comes later than the bytes that follow it.
    fn receive(caller: &mut Caller) -> Self {
        let (mut pieces, mut mark_bytes) = (Vec::<(u64, Vec<u8>)>::new(), Vec::new());
        let mut marked = Vec::new();
        let exit = loop {
            match caller.next() {
                Event::Started => {}
                Event::Output(Output { stream: Stream::Stderr, bytes, .. }) => {
                    mark_bytes.extend(bytes);
                }
                Event::Output(Output { stream: Stream::Stdout, offset, bytes }) => {
                    let end = offset + bytes.len() as u64;
                    marked.push((offset, end, parts(&marks(&mark_bytes), offset, end)));
                    match pieces.last_mut() {
                        Some((start, joined)) if *start + joined.len() as u64 == offset => {
                            joined.extend(bytes);
                        }
                        _ => pieces.push((offset, bytes)),
                    }
                }
                Event::Exited(exit) => break exit,
                other
                @ (Event::Ready { .. } | Event::Unknown | Event::Ok | Event::Error { .. }) => {
                    panic!("unexpected {other:?}")
                }
            }
        };
        let marks = marks(&mark_bytes);
        for (from, to, then) in marked {
            assert_eq!(parts(&marks, from, to), then, "a mark between {from} and {to} came later");
        }
        Self { pieces, marks, mark_bytes, exit }
    }

    fn run(shell: &Shell, start: Start) -> Self {
        let mut caller = shell.connect();
        caller.send(&Request::Start(Start { merge: true, marks: true, ..start }));
        Self::receive(&mut caller)
    }

    /// The parts of a piece by their writers.
    fn parts(&self, piece: usize) -> Vec<(Writer, String)> {
        let (offset, bytes) = &self.pieces[piece];
        let parts = parts(&self.marks, *offset, *offset + bytes.len() as u64);
        let text = |from: u64, to: u64| {
            let at = |place: u64| usize::try_from(place - offset).unwrap();
            String::from_utf8(bytes[at(from)..at(to)].to_vec()).unwrap()
        };
        parts.into_iter().map(|(from, to, writer)| (writer, text(from, to))).collect()
    }

    fn all(&self) -> Vec<(Writer, String)> {
        if self.pieces.is_empty() { Vec::new() } else { self.parts(0) }
    }
}

fn marks(mut bytes: &[u8]) -> Vec<(u64, Writer)> {
    let (mut marks, mut offset) = (Vec::new(), 0);
    while !bytes.is_empty() {
        let size = bytes.iter().position(|byte| byte & 0x80 == 0).expect("whole numbers") + 1;
        let number =
            bytes[..size].iter().rev().fold(0, |all, byte| all << 7 | u64::from(byte & 0x7F));
        offset += number >> 2;
        marks.push((
            offset,
            [Writer::Stdout, Writer::Stderr, Writer::Unknown][(number & 3) as usize],
        ));
        bytes = &bytes[size..];
    }
    marks
}

/// The parts between two offsets with one writer each.
fn parts(marks: &[(u64, Writer)], from: u64, to: u64) -> Vec<(u64, u64, Writer)> {
    let ends = marks.iter().skip(1).map(|(offset, _)| *offset).chain([u64::MAX]);
    let mut parts: Vec<(u64, u64, Writer)> = Vec::new();
    for ((start, writer), end) in marks.iter().zip(ends) {
        let (start, end) = ((*start).max(from), end.min(to));
        match parts.last_mut() {
            _ if start >= end => {}
            Some(last) if last.2 == *writer => last.1 = end,
            _ => parts.push((start, end, *writer)),
        }
    }
    parts
}

fn out(text: &str) -> (Writer, String) {
    (Writer::Stdout, text.to_owned())
}

fn err(text: &str) -> (Writer, String) {
    (Writer::Stderr, text.to_owned())
}

#[test]
fn lines_written_to_both_streams_by_turns_have_their_order_and_their_marks() {
    let line = "for i in $(seq 100); do echo o$i; echo e$i >&2; done";
    let expected: Vec<_> =
        (1..=100).flat_map(|i| [out(&format!("o{i}\n")), err(&format!("e{i}\n"))]).collect();
    for shell in Shell::boot_both() {
        for round in 0..20 {
            let ran = Merged::run(&shell, sh(&format!("job_{round}"), line));
            assert_eq!(ran.all(), expected, "round {round}");
            let bytes = ran.mark_bytes.len() as u64;
            assert_eq!(ran.exit.stderr, Total { bytes, kept: bytes, tail: 0 });
        }
    }
}

#[test]
fn writes_of_other_processes_of_the_command_are_marked_too() {
    let line = "for i in $(seq 50); do echo o$i; sh -c \"echo e$i >&2; printf f\"; done";
    let mut expected = vec![out("o1\n"), err("e1\n")];
    expected.extend((2..=50).flat_map(|i| [out(&format!("fo{i}\n")), err(&format!("e{i}\n"))]));
    expected.push(out("f"));
    for shell in Shell::boot_both() {
        assert_eq!(Merged::run(&shell, sh("job_1", line)).all(), expected);
    }
}

#[test]
fn large_writes_keep_their_order_and_every_byte() {
    let line = "a=$(head -c 100000 /dev/zero | tr '\\0' a); b=$(head -c 100000 /dev/zero | tr '\\0' b); \
                for i in 1 2 3 4; do printf '%s' \"$a\"; printf '%s' \"$b\" >&2; done";
    let round = || [out(&"a".repeat(100_000)), err(&"b".repeat(100_000))];
    let expected: Vec<_> = (0..4).flat_map(|_| round()).collect();
    let ran = Merged::run(&Shell::boot(), sh("job_1", line));
    assert!(ran.all() == expected, "{:?}", ran.marks);
}

#[test]
fn a_gibibyte_goes_through() {
    let start =
        Start { keep: Keep::Both, ..sh("job_1", "head -c 1073741824 /dev/zero >&2; echo end") };
    let ran = Merged::run(&Shell::boot(), start);
    assert_eq!(ran.exit.stdout, Total { bytes: (1 << 30) + 4, kept: 1 << 20, tail: 1 << 19 });
    assert_eq!(ran.marks.last(), Some(&(1 << 30, Writer::Stdout)));
    assert!(ran.pieces[1].1.ends_with(b"\0end\n"));
}

#[test]
fn one_stream_may_end_before_the_other() {
    let shell = Shell::boot();
    let ran = Merged::run(&shell, sh("job_1", "echo a; exec 1>&-; echo b >&2; echo c >&2"));
    assert_eq!(ran.all(), [out("a\n"), err("b\nc\n")]);
    let ran = Merged::run(
        &shell,
        sh("job_2", "echo a >&2; exec 2>&-; echo b; exec 1>&-; sleep 0.2; exit 4"),
    );
    assert_eq!(ran.all(), [err("a\n"), out("b\n")]);
    assert!(matches!(ran.exit.cause, Cause::Exited { code: 4 }));
    let ran = Merged::run(&shell, sh("job_3", "true"));
    assert_eq!((ran.pieces, ran.mark_bytes, ran.exit.stderr), (vec![], vec![], Total::default()));
}

#[test]
fn what_was_written_before_the_end_is_kept_although_a_process_holds_a_pipe() {
    for shell in Shell::boot_both() {
        for (background, held) in [(false, "2>&-"), (true, ">&-"), (true, "")] {
            let id = format!("job_{background}_{}", held.len());
            let line =
                format!("setsid sleep 1005 {held} & echo a; echo b >&2; printf c; printf d >&2");
            let ran = Merged::run(&shell, Start { background, ..sh(&id, &line) });
            assert_eq!(ran.all(), [out("a\n"), err("b\n"), out("c"), err("d")]);
            assert!(ran.exit.usage.wall_ms < 20_000);
        }
        let start = Start { background: true, ..sh("job_2", "yes & yes >&2 & sleep 0.2; echo") };
        let ran = Merged::run(&shell, Start { max_output_bytes: 100, ..start });
        assert!(matches!(ran.exit.cause, Cause::Exited { code: 0 }));
        assert_eq!(shell.run(sh("job_3", "echo still here")).text(), "still here\n");
    }
}

#[test]
fn a_command_that_writes_to_both_streams_without_end_can_be_stopped_and_delays_no_other() {
    for shell in Shell::boot_both() {
        let line = "yes & while :; do echo e; done >&2";
        let start = Start { merge: true, marks: true, keep: Keep::Both, ..sh("job_1", line) };
        let mut caller = shell.connect();
        caller.send(&Request::Start(start));
        assert_eq!(caller.next(), Event::Started);
        assert_eq!(shell.run(sh("job_2", "echo out; echo err >&2")).text(), "out\n");
        assert_eq!(shell.ask(Request::Cancel { job_id: "job_1".into() }), Event::Ok);
        let ran = Merged::receive(&mut caller);
        assert!(matches!(ran.exit.cause, Cause::Cancelled { ended: Some(_) }));
    }
}

#[test]
fn marks_are_right_on_both_sides_of_a_gap() {
    let line = "i=0; while [ $i -lt 1000 ]; do printf 'o%06d\\n' $i; printf 'e%06d\\n' $i >&2; i=$((i+1)); done";
    let expected = |from: u64, to: u64| -> Vec<_> {
        (from..to).flat_map(|i| [out(&format!("o{i:06}\n")), err(&format!("e{i:06}\n"))]).collect()
    };
    let cut = |mut parts: Vec<(Writer, String)>| {
        parts[0].1.drain(..4);
        parts
    };
    for (keep, limit, pieces) in [
        (Keep::Head, 1600, vec![(0, expected(0, 100))]),
        (Keep::Both, 1600, vec![(0, expected(0, 50)), (15_200, expected(950, 1000))]),
        (Keep::Tail, 1596, vec![(14_404, cut(expected(900, 1000)))]),
        (Keep::Both, 16_000, vec![(0, expected(0, 1000))]),
        (Keep::Tail, 20_000, vec![(0, expected(0, 1000))]),
    ] {
        let shell = Shell::boot();
        let ran = Merged::run(&shell, Start { keep, max_output_bytes: limit, ..sh("job_1", line) });
        for (index, (offset, parts)) in pieces.iter().enumerate() {
            assert_eq!(
                (ran.pieces[index].0, ran.parts(index)),
                (*offset, parts.clone()),
                "{keep:?}"
            );
        }
        assert_eq!(ran.pieces.len(), pieces.len());
    }
}

#[test]
fn a_caller_that_comes_again_gets_the_other_marks() {
    let shell = Shell::boot();
    let line = "for i in $(seq 100); do echo o$i; echo e$i >&2; done";
    let first = Merged::run(&shell, sh("job_1", line));
    let size = first.mark_bytes.len();
    for known in [0, 1, size / 2, size] {
        let from = Offsets { stdout: 10, stderr: known as u64 };
        let ran = shell.attach("job_1", from.stdout, from.stderr);
        assert_eq!(ran.stderr, first.mark_bytes[known..]);
        assert_eq!(ran.stdout, first.pieces[0].1[10..]);
    }
}

#[test]
fn of_many_changes_the_first_and_the_last_are_marked() {
    let count = MAX_MARKS as u64 + 1000;
    // Two bytes a round: one to each stream.
    let line =
        format!("i=0; while [ $i -lt {count} ]; do printf o; printf e >&2; i=$((i+1)); done");
    let ran = Merged::run(&Shell::boot(), Start { keep: Keep::Both, ..sh("job_1", &line) });
    let writers = |from: usize, to: usize| -> Vec<Writer> {
        (from..to).map(|i| [Writer::Stdout, Writer::Stderr][i % 2]).collect()
    };
    assert_eq!(ran.pieces[0].1, "oe".repeat(MAX_MARKS + 1000).into_bytes());
    let early: Vec<_> = ran.marks.iter().take(MAX_MARKS).map(|(_, writer)| *writer).collect();
    assert_eq!(early, writers(0, MAX_MARKS));
    assert_eq!(ran.marks[MAX_MARKS..], [(MAX_MARKS as u64, Writer::Unknown)]);

    // The end has so many changes, too, of which the last are marked.
    let start = Start { max_output_bytes: 2 * count, keep: Keep::Tail, ..sh("job_2", &line) };
    let ran = Merged::run(&Shell::boot(), start);
    let first = 2 * count - MAX_MARKS as u64 - 1;
    assert_eq!(ran.marks[..2], [(0, Writer::Unknown), (first, Writer::Stderr)]);
    assert_eq!(ran.marks.len(), MAX_MARKS + 2);
    assert!(ran.mark_bytes.len() as u64 <= MAX_MARK_BYTES);
}

/// The lines that this script in Python writes; none, and a printed reason, where there is no Python.
fn lines_of(script: &str) -> Option<Vec<String>> {
    let ran = Merged::run(&Shell::boot(), argv("job_1", &["python3", "-c", script]));
    if matches!(ran.exit.cause, Cause::NotFound { .. }) {
        println!("SKIPPED: there is no python3");
        return None;
    }
    assert_eq!(ran.pieces.len(), 1, "all of it was kept");
    let text = str::from_utf8(&ran.pieces[0].1).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

#[test]
fn writes_by_turns_without_a_pause_have_their_order() {
    let script = "import os\n\
                  for i in range(100000): os.write(1 + i % 2, b'%07d\\n' % i)";
    let Some(lines) = lines_of(script) else { return };
    assert_eq!(lines.len(), 100_000);
    let wrong = lines.iter().enumerate().find(|(i, line)| **line != format!("{i:07}"));
    assert_eq!(wrong, None);
}

#[test]
fn a_program_that_enlarges_its_pipes_loses_nothing() {
    let script = "import fcntl, os\n\
                  for fd in (1, 2): fcntl.fcntl(fd, 1031, 1 << 20)\n\
                  for i in range(20000): os.write(1 + i % 2, b'%07d\\n' % i)";
    let Some(mut lines) = lines_of(script) else { return };
    lines.sort_unstable();
    assert!(lines.into_iter().eq((0..20000).map(|i| format!("{i:07}"))));
}

#[test]
fn packets_and_other_writes_in_an_enlarged_pipe_are_read_whole() {
    let script = "import fcntl, os\n\
                  fcntl.fcntl(1, 1031, 1 << 20)\n\
                  other = os.open('/dev/stdout', os.O_WRONLY)\n\
                  for i in range(300): os.write((1, other)[i % 2], b'%0*d\\n' % ((99, 1698)[i % 2], i))";
    let Some(lines) = lines_of(script) else { return };
    let expected = (0..300).map(|i| format!("{i:0width$}", width = [99, 1698][i % 2]));
    assert!(lines.into_iter().eq(expected));
}
