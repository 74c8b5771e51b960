//! What is kept of a job's output, and who gets it when.

use runner::protocol::{Event, Request, Start, Total};

use crate::shell::{Shell, argv, sh};

#[test]
fn both_streams_are_apart_and_every_byte_survives() {
    let all = "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done";
    let ran = Shell::boot().run(sh("job_1", &format!("{all}; {all} >&2; {all} >&2")));
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(ran.stdout, bytes);
    assert_eq!(ran.stderr, [bytes.clone(), bytes].concat());
}

#[test]
fn what_exceeds_the_cap_is_counted_and_dropped() {
    let command = "head -c 30000000 /dev/zero; printf 12345 >&2";
    let ran = Shell::boot().run(Start { max_output_bytes: 1000, ..sh("job_1", command) });
    assert_eq!(ran.exit.stdout, Total { bytes: 30_000_000, kept: 1000 });
    assert_eq!(ran.stdout, [0; 1000]);
    assert_eq!(ran.exit.stderr, Total { bytes: 5, kept: 5 });
    assert!(ran.exit.stdout.truncated() && !ran.exit.stderr.truncated());
}

#[test]
fn a_cap_of_nothing_still_counts() {
    let ran = Shell::boot().run(Start { max_output_bytes: 0, ..sh("job_1", "echo hello") });
    assert_eq!(ran.exit.stdout, Total { bytes: 6, kept: 0 });
}

#[test]
fn on_a_full_disk_jobs_still_end_and_output_is_counted() {
    let Some(shell) = Shell::boot_on_a_small_disk() else { return };
    let ran = shell.run(sh("job_1", "head -c 500000 /dev/zero; exit 3"));
    assert_eq!((ran.code(), ran.exit.stdout.bytes), (3, 500_000));
    assert!(ran.exit.stdout.truncated() && ran.stdout.len() as u64 == ran.exit.stdout.kept);

    let mut caller = shell.connect();
    caller.send(&Request::Start(sh("job_2", "true")));
    assert!(matches!(caller.next(), Event::Error { retryable: true, .. }));
    assert_eq!(shell.ask(Request::Release { job_id: "job_1".into() }), Event::Ok);
    caller.send(&Request::Start(sh("job_2", "exit 4")));
    assert_eq!(caller.finish().code(), 4);
}

#[test]
fn output_of_a_process_that_left_the_group_is_kept_until_the_job_ends() {
    let shell = Shell::boot();
    let mut caller = shell.connect();
    caller.send(&Request::Start(sh("job_1", "echo out; setsid sleep 1000 & sleep 0.1; echo end")));
    let ran = caller.finish();
    assert_eq!((ran.text(), ran.code()), ("out\nend\n", 0));
}

#[test]
fn a_caller_that_reads_nothing_holds_up_neither_the_job_nor_others() {
    let shell = Shell::boot();
    let start = || Start {
        max_output_bytes: 8 << 20,
        ..argv("job_1", &["head", "-c", "8388608", "/dev/zero"])
    };
    let mut idle = shell.connect();
    idle.send(&Request::Start(start()));
    let ran = shell.run(start());
    assert_eq!(ran.stdout.len(), 8 << 20);
    let late = idle.finish();
    assert_eq!((late.stdout.len(), late.exit), (8 << 20, ran.exit));
}

#[test]
fn a_violation_is_answered_and_ends_the_connection_only() {
    let shell = Shell::boot();
    let mut caller = shell.connect();
    caller.send_raw(&[0, 0, 0, 1, 99]);
    assert!(matches!(caller.next(), Event::Error { .. }));
    assert!(caller.is_hung_up());
    assert!(matches!(shell.ask(Request::Probe), Event::Ready { .. }));
}

#[test]
fn a_caller_that_hangs_up_leaves_the_job_alone() {
    let shell = Shell::boot();
    let mut caller = shell.connect();
    caller.send(&Request::Start(sh("job_1", "kill -STOP $$; echo end")));
    drop(caller);
    let mut caller = shell.connect();
    // Sent before, but on another connection: it may be read later.
    caller.send(&Request::Start(sh("job_1", "kill -STOP $$; echo end")));
    assert_eq!(caller.next(), Event::Started);
    let go_on = Request::Signal { job_id: "job_1".into(), signal: libc::SIGCONT };
    let mut seen = Vec::new();
    loop {
        caller.send(&go_on);
        let event = caller.next();
        if let Event::Output(output) = event {
            seen.extend(output.bytes);
        } else if matches!(event, Event::Exited(_)) {
            break;
        }
    }
    assert_eq!(seen, b"end\n");
}
