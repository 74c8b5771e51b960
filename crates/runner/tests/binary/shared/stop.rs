//! Commands in shells that are ended before they end by themselves.

use std::time::Duration;

use runner::protocol::{Cause, Event, Request, Start};

use super::{ENDED, FOUND, line, sh_line};
use crate::shell::{Ran, Shell};

/// Starts the command, cancels it once it has printed `on`, and returns its end.
fn cancelled(shell: &Shell, start: Start) -> Ran {
    let mut caller = shell.connect();
    let job_id = start.job_id.clone();
    caller.send(&Request::Start(start));
    caller.until("on\n");
    assert_eq!(shell.ask(Request::Cancel { job_id }), Event::Ok);
    caller.finish()
}

#[test]
fn a_cancelled_command_leaves_its_shell_with_its_state() {
    for shell in Shell::boot_both() {
        for (name, start) in [("bash", line as fn(&str, &str) -> Start), ("sh", sh_line)] {
            let start = |job: String, command: &str| Start {
                shell: Some(name.into()),
                ..start(&format!("{name}_{job}"), command)
            };
            shell.run(start(
                "first".into(),
                "x=1; loop() { while :; do :; done; }; outer() { loop; echo lost; }",
            ));
            for (number, command) in [
                "echo on; sleep 7301; echo lost",
                "echo on; while :; do :; done; echo lost",
                "echo on; outer; echo lost; sleep 7301",
                "echo on; for i in 1 2; do sleep 7301; done; echo lost",
                "echo on; y=$(sleep 7301; echo lost); echo $y",
                "f() { q=$(sleep 7301); echo lost; }; echo on; f && echo lost || echo lost",
                "echo on; sleep 7301 | cat; echo lost",
                "echo on; sleep 7301 & wait; echo lost",
                "echo on; (trap '' TERM; sleep 7301; echo lost); echo lost",
                "echo on; sh -c 'sleep 7301; echo lost'; echo lost",
                "echo on; eval 'sleep 7301; echo lost'; echo lost",
                "echo on; if sleep 7301; then echo lost; else echo lost; fi",
            ]
            .into_iter()
            .enumerate()
            {
                let ran = cancelled(&shell, start(format!("job_{number}"), command));
                assert!(matches!(ran.exit.cause, Cause::Cancelled { .. }), "{command}: {ran:?}");
                assert_eq!((ran.text(), ran.exit.shell), ("", FOUND), "{name}: {command}");
                let next =
                    "echo $? $x; f() { true; echo in f; }; f; ps -o args= | grep '[s]leep 7301'";
                let next = shell.run(start(format!("next_{number}"), next));
                assert_eq!((next.text(), next.exit.shell), ("130 1\nin f\n", FOUND), "{command}");
            }
        }
    }
}

#[test]
fn an_interrupt_from_inside_ends_the_running_command_only() {
    for shell in Shell::boot_both() {
        for (name, start) in [("bash", line as fn(&str, &str) -> Start), ("sh", sh_line)] {
            let run = |job: String, command: &str| {
                let start = start(&format!("{name}_{job}"), command);
                shell.run(Start { shell: Some(name.into()), ..start })
            };
            run("first".into(), "x=1; f() { kill -INT $$; echo lost; }");
            for (number, command) in [
                "kill -INT $$; echo lost",
                "f; echo lost",
                "sleep 0.1; kill -INT 0; echo lost",
                "(trap 'kill -INT 0' EXIT; true); echo lost",
                "set -o posix 2>/dev/null; kill -INT $$; echo lost",
                "set +o posix 2>/dev/null; unset BASH_VERSION; kill -INT $$; echo lost",
            ]
            .into_iter()
            .enumerate()
            {
                let ran = run(format!("job_{number}"), command);
                assert_eq!((ran.text(), ran.exit.shell), ("", FOUND), "{name}: {command}");
                let next = run(format!("next_{number}"), "g() { true; echo in g; }; g; echo $x");
                let expected = (0, "in g\n1\n", FOUND);
                assert_eq!((next.code(), next.text(), next.exit.shell), expected, "{command}");
            }
        }
    }
}

#[test]
fn the_timeout_of_a_command_leaves_its_shell_with_its_state() {
    for shell in Shell::boot_both() {
        shell.run(line("job_1", "x=1"));
        let ran =
            shell.run(Start { timeout_ms: 300, ..line("job_2", "echo on; sleep 600; echo lost") });
        assert!(matches!(ran.exit.cause, Cause::TimedOut { .. }), "{ran:?}");
        assert_eq!((ran.text(), ran.exit.shell), ("on\n", FOUND));
        assert!(ran.exit.usage.wall_ms < 5_000, "{:?}", ran.exit.usage);
        assert_eq!(shell.run(line("job_3", "echo $x")).text(), "1\n");
    }
}

#[test]
fn a_shell_that_ignores_everything_is_ended() {
    for shell in Shell::boot_both() {
        shell.run(line("job_1", "x=1; trap '' INT TERM"));
        let ran = cancelled(&shell, line("job_2", "echo on; while :; do :; done"));
        assert!(matches!(ran.exit.cause, Cause::Cancelled { .. }), "{ran:?}");
        assert_eq!(ran.exit.shell, ENDED);
        assert_eq!(shell.run(line("job_3", "echo ${x-none}")).text(), "none\n");
    }
}

#[test]
fn processes_that_ignore_signals_are_killed_without_their_shell() {
    for shell in Shell::boot_both() {
        shell.run(line("job_1", "x=1"));
        let command = "echo on; sh -c 'trap \"\" INT TERM; sleep 600; sleep 600'; echo lost";
        let ran = cancelled(&shell, line("job_2", command));
        assert_eq!((ran.text(), ran.exit.shell), ("", FOUND));
        assert_eq!(shell.run(line("job_3", "echo $x")).text(), "1\n");
    }
}

#[test]
fn a_stopped_command_takes_its_own_processes_only() {
    for shell in Shell::boot_both() {
        let earlier = shell.run(line("job_1", "sleep 600 & echo $!"));
        let ran = cancelled(&shell, line("job_2", "sleep 600 & echo $! >&2; echo on; sleep 600"));
        let own = String::from_utf8(ran.stderr).unwrap();
        let own = own.trim();
        let check = format!("kill -0 {} && ! kill -0 {own}", earlier.text().trim());
        assert_eq!(shell.run(line("job_3", &check)).code(), 0);
    }
}

#[test]
fn what_an_earlier_process_starts_meanwhile_is_not_of_the_command() {
    for shell in Shell::boot_both() {
        let waits = "go=$(mktemp -u); mkfifo $go; \
                     sh -c \"read x < $go; sleep 600 & echo \\$! > $go; wait\" &";
        shell.run(line("job_1", waits));
        let starts = "echo > $go; child=$(cat $go); echo on; sleep 600";
        let ran = cancelled(&shell, line("job_2", starts));
        assert_eq!((ran.exit.leftover, ran.exit.shell), (0, FOUND), "{ran:?}");
        assert_eq!(shell.run(line("job_3", "rm $go; kill -0 $child")).code(), 0);
    }
}

#[test]
fn a_signal_reaches_the_command_and_not_its_shell() {
    for shell in Shell::boot_both() {
        let mut caller = shell.connect();
        let command = "sh -c 'echo on; exec sleep 600'; echo $?";
        caller.send(&Request::Start(line("job_1", command)));
        caller.until("on\n");
        let signal = Request::Signal { job_id: "job_1".into(), signal: libc::SIGTERM };
        assert_eq!(shell.ask(signal), Event::Ok);
        let ran = caller.finish();
        assert_eq!((ran.text(), ran.code()), ("143\n", 0));
        let mut caller = shell.connect();
        caller.send(&Request::Start(line("job_2", "echo on; sleep 600; echo lost")));
        caller.until("on\n");
        let signal = Request::Signal { job_id: "job_2".into(), signal: libc::SIGINT };
        assert_eq!(shell.ask(signal), Event::Ok);
        let ran = caller.finish();
        assert_eq!((ran.text(), ran.code(), ran.exit.shell), ("", 130, FOUND));
        assert_eq!(shell.run(line("job_3", "f() { true; echo in f; }; f")).text(), "in f\n");
    }
}

#[test]
fn a_runner_that_ends_takes_its_shells_with_it() {
    for shell in Shell::boot_both() {
        let idle = shell.run(line("job_1", "echo $$")).text().trim().to_owned();
        let mut caller = shell.connect();
        let busy = Start { shell: Some("other".into()), ..line("job_2", "echo on; sleep 600") };
        caller.send(&Request::Start(busy));
        caller.until("on\n");
        shell.terminate();
        let ran = caller.finish();
        assert!(matches!(ran.exit.cause, Cause::Interrupted { .. }), "{ran:?}");
        drop(shell);
        let left = std::path::Path::new("/proc").join(idle);
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while left.exists() {
            assert!(std::time::Instant::now() < deadline, "the shell was left");
            std::thread::yield_now();
        }
    }
}
