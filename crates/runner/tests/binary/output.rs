//! Which output of a job is kept, and which callers receive it.

use runner::protocol::{Event, Request, Start, Total};

use crate::shell::{Shell, argv, sh};

#[test]
fn stdout_and_stderr_are_separate_and_every_byte_survives() {
    let all = "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done";
    let ran = Shell::boot().run(sh("job_1", &format!("{all}; {all} >&2; {all} >&2")));
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(ran.stdout, bytes);
    assert_eq!(ran.stderr, [bytes.clone(), bytes].concat());
}

#[test]
fn merged_output_has_the_order_of_the_writes() {
    let line = "for i in $(seq 300); do echo o$i; sh -c \"echo e$i\" >&2; echo f$i > /dev/stderr; done; \
                exec 1>&-; echo end >&2";
    let expected: String = (1..=300).map(|i| format!("o{i}\ne{i}\nf{i}\n")).collect();
    for shell in Shell::boot_both() {
        let ran = shell.run(Start { merge: true, ..sh("job_1", line) });
        assert_eq!((ran.text(), ran.stderr.len()), (format!("{expected}end\n").as_str(), 0));
        let bytes = ran.stdout.len() as u64;
        assert_eq!(ran.exit.stdout, Total { bytes, kept: bytes, tail: 0 });
        assert_eq!((ran.exit.stderr, ran.code()), (Total::default(), 0));
    }
}

#[test]
fn output_beyond_the_limit_is_counted_and_dropped() {
    let command = "head -c 30000000 /dev/zero; printf 12345 >&2";
    let ran = Shell::boot().run(Start { max_output_bytes: 1000, ..sh("job_1", command) });
    assert_eq!(ran.exit.stdout, Total { bytes: 30_000_000, kept: 1000, tail: 0 });
    assert_eq!(ran.stdout, [0; 1000]);
    assert_eq!(ran.exit.stderr, Total { bytes: 5, kept: 5, tail: 0 });
    assert!(ran.exit.stdout.truncated() && !ran.exit.stderr.truncated());
}

#[test]
fn a_limit_of_zero_still_counts() {
    let ran = Shell::boot().run(Start { max_output_bytes: 0, ..sh("job_1", "echo hello") });
    assert_eq!(ran.exit.stdout, Total { bytes: 6, kept: 0, tail: 0 });
}

#[test]
fn on_a_full_disk_jobs_still_end_and_their_output_is_counted() {
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
fn the_end_of_many_parallel_outputs_is_kept() {
    for shell in Shell::boot_both() {
        let line = "head -c 900000 /dev/zero | tr '\\0' a; echo END; \
                    head -c 900000 /dev/zero | tr '\\0' b >&2; echo END >&2";
        let mut callers: Vec<_> = (0..20).map(|_| shell.connect()).collect();
        for (number, caller) in callers.iter_mut().enumerate() {
            caller.send(&Request::Start(sh(&format!("job_{number}"), line)));
        }
        for mut caller in callers {
            let ran = caller.finish();
            let whole = Total { bytes: 900_004, kept: 900_004, tail: 0 };
            assert_eq!((ran.exit.stdout, ran.exit.stderr, ran.code()), (whole, whole, 0));
            assert!(ran.stdout.ends_with(b"aEND\n") && ran.stdout.len() == 900_004);
            assert!(ran.stderr.ends_with(b"bEND\n") && ran.stderr.len() == 900_004);
        }
    }
}

#[test]
fn output_before_the_end_is_kept_although_a_process_still_holds_the_pipes() {
    for shell in Shell::boot_both() {
        for background in [false, true] {
            let line = "setsid sleep 1006 & head -c 900000 /dev/zero; head -c 900000 /dev/zero >&2";
            let id = format!("job_{background}");
            let ran = shell.run(Start { background, ..sh(&id, line) });
            let whole = Total { bytes: 900_000, kept: 900_000, tail: 0 };
            assert_eq!((ran.exit.stdout, ran.exit.stderr), (whole, whole));
            assert!(ran.exit.usage.wall_ms < 20_000);
        }
    }
}

#[test]
fn a_background_process_that_writes_without_end_does_not_delay_the_end() {
    for shell in Shell::boot_both() {
        let start = sh("job_1", "yes & sleep 0.2");
        let ran = shell.run(Start { background: true, max_output_bytes: 100, ..start });
        assert_eq!((ran.code(), ran.stdout.len()), (0, 100));
        assert!(ran.exit.stdout.truncated());
        assert_eq!(shell.run(sh("job_2", "echo still here")).text(), "still here\n");
    }
}

#[test]
fn a_caller_that_reads_nothing_blocks_neither_the_job_nor_other_callers() {
    let shell = Shell::boot();
    let start = || Start {
        max_output_bytes: 8 << 20,
        ..argv("job_1", &["head", "-c", "8388608", "/dev/zero"])
    };
    let mut idle = shell.connect();
    idle.send(&Request::Start(start()));
    let ran = shell.run(start());
    assert_eq!(ran.stdout.len(), 8 << 20);
    let slow = idle.finish();
    assert_eq!((slow.stdout.len(), slow.exit), (8 << 20, ran.exit));
}

#[test]
fn a_protocol_error_is_answered_and_closes_only_its_connection() {
    let shell = Shell::boot();
    let mut caller = shell.connect();
    caller.send_raw(&[0, 0, 0, 1, 99]);
    assert!(matches!(caller.next(), Event::Error { .. }));
    assert!(caller.is_closed());
    assert!(matches!(shell.ask(Request::Probe), Event::Ready { .. }));
}

#[test]
fn a_caller_that_disconnects_does_not_end_its_job() {
    let shell = Shell::boot();
    let mut caller = shell.connect();
    caller.send(&Request::Start(sh("job_1", "kill -STOP $$; echo end")));
    drop(caller);
    let mut caller = shell.connect();
    // The runner may read the request of the first connection after this one.
    caller.send(&Request::Start(sh("job_1", "kill -STOP $$; echo end")));
    assert_eq!(caller.next(), Event::Started);
    let resume = Request::Signal { job_id: "job_1".into(), signal: libc::SIGCONT };
    let mut seen = Vec::new();
    loop {
        caller.send(&resume);
        let event = caller.next();
        if let Event::Output(output) = event {
            seen.extend(output.bytes);
        } else if matches!(event, Event::Exited(_)) {
            break;
        }
    }
    assert_eq!(seen, b"end\n");
}
