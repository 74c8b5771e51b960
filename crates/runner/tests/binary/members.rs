//! All processes of a job end with it, with cgroups and without.

use std::fs;
use std::time::{Duration, Instant};

use runner::protocol::{Cause, Event, Keep, Request, Start};

use crate::shell::{Shell, argv, sh};

const TIMEOUT: Duration = Duration::from_secs(150);

/// Lines that start a process and print its pid: one that `timeout` moved into another process group,
/// one in a session of its own, and an orphan in a session of its own. Each handles SIGTERM by `trap`.
fn escapes(trap: &str) -> [String; 4] {
    let inner = format!("sh -c '{trap} echo $$; while :; do sleep 1; done'");
    [
        format!("timeout 600 {inner}"),
        format!("setsid -w {inner}"),
        format!("(setsid {inner} &); sleep 1000"),
        format!("(trap \"\" TERM; (setsid {inner} &) & ) ; sleep 1000"),
    ]
}

fn is_running(pid: &str) -> bool {
    let state = |stat: &str| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| state(&stat) != Some('Z'))
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !check() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_cancel_ends_every_process_of_the_job() {
    for shell in Shell::boot_both() {
        for (number, line) in escapes("").into_iter().enumerate() {
            let job_id = format!("job_{number}");
            let mut caller = shell.connect();
            caller.send(&Request::Start(sh(&job_id, &line)));
            let pid = String::from_utf8(caller.until("\n")).unwrap().trim().to_owned();
            assert_eq!(shell.ask(Request::Cancel { job_id }), Event::Ok);
            let exit = caller.finish().exit;
            assert!(matches!(exit.cause, Cause::Cancelled { .. }), "{line}: {exit:?}");
            assert!(!is_running(&pid), "{line}");
        }
    }
}

#[test]
fn a_timeout_ends_every_process_of_the_job_even_if_it_ignores_sigterm() {
    for shell in Shell::boot_both() {
        let mut callers = Vec::new();
        for (number, line) in escapes("trap \"\" TERM;").into_iter().enumerate() {
            let mut caller = shell.connect();
            let start = sh(&format!("job_{number}"), &line);
            caller.send(&Request::Start(Start { timeout_ms: 500, ..start }));
            callers.push((caller, line));
        }
        for (mut caller, line) in callers {
            let pid = String::from_utf8(caller.until("\n")).unwrap().trim().to_owned();
            let exit = caller.finish().exit;
            assert!(matches!(exit.cause, Cause::TimedOut { .. }), "{line}: {exit:?}");
            assert!(exit.usage.wall_ms < 8_000, "{exit:?}");
            assert!(!is_running(&pid), "{line}");
        }
    }
}

#[test]
fn processes_left_at_the_end_are_ended_and_counted() {
    for shell in Shell::boot_both() {
        let line = "sleep 1000 & echo $!; setsid sleep 1001 & echo $!; \
                    (setsid sh -c 'echo $$; exec sleep 1002' &); sleep 0.2; exit 5";
        let ran = shell.run(sh("job_1", line));
        assert_eq!((ran.code(), ran.exit.leftover), (5, 3), "{ran:?}");
        let pids: Vec<&str> = ran.text().lines().collect();
        assert_eq!(pids.len(), 3);
        assert!(!pids.iter().any(|pid| is_running(pid)), "{pids:?}");
        assert!(ran.exit.background.is_empty());
        let clean = shell.run(sh("job_2", "sleep 0 & wait"));
        assert_eq!(clean.exit.leftover, 0);
    }
}

#[test]
fn background_processes_are_kept_and_listed() {
    for mut shell in Shell::boot_both() {
        // Writes after the job's end, more than a pipe holds.
        let line = "nohup sh -c 'echo $$; sleep 0.3; yes | head -c 3000000; exec sleep 1003' & \
                    sleep 0.1; echo main";
        let ran = shell.run(Start { background: true, ..sh("job_1", line) });
        assert_eq!(ran.code(), 0);
        let (pid, _) = ran.text().split_once('\n').unwrap();
        assert!(ran.text().ends_with("main\n"), "{:?}", ran.text());
        assert!((1..=2).contains(&ran.exit.leftover), "{:?}", ran.exit);
        let listed = ran.exit.background.iter().find(|process| process.pid.to_string() == pid);
        assert!(listed.unwrap().command.starts_with("sh -c echo $$;"), "{:?}", ran.exit);
        let command = || fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        eventually("its output is consumed", || command() == "sleep\x001003\0");
        // Later jobs do not end it.
        assert_eq!(shell.run(sh("job_2", "true")).code(), 0);
        assert!(is_running(pid));
        shell.terminate();
        shell.process.wait().unwrap();
        eventually("it ends with the shell", || !is_running(pid));
    }
}

#[test]
fn a_job_without_leftovers_lists_no_background_processes() {
    for shell in Shell::boot_both() {
        let ran = shell.run(Start { background: true, ..sh("job_1", "echo hi") });
        assert_eq!((ran.text(), ran.exit.leftover), ("hi\n", 0));
        assert!(ran.exit.background.is_empty());
    }
}

#[test]
fn a_fork_storm_ends_with_its_job() {
    for shell in Shell::boot_both() {
        let mut caller = shell.connect();
        let line = "i=0; while [ $i -lt 200 ]; do (setsid sleep 1004 &); i=$((i+1)); done; echo up; \
                    while :; do (setsid sleep 1004 &); sleep 0.01; done";
        caller.send(&Request::Start(sh("job_1", line)));
        caller.until("up");
        assert_eq!(shell.ask(Request::Cancel { job_id: "job_1".into() }), Event::Ok);
        let exit = caller.finish().exit;
        assert!(matches!(exit.cause, Cause::Cancelled { .. }), "{exit:?}");
        let pid = shell.process.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        eventually("no child is left", || fs::read_to_string(&children).unwrap().is_empty());
    }
}

#[test]
fn at_most_two_empty_cgroups_are_kept_for_later_jobs() {
    let Some(shell) = Shell::boot_with_cgroup() else { return };
    for number in 0..5 {
        shell.run(sh(&format!("job_{number}"), "(setsid sleep 1005 &); true"));
    }
    shell.run(Start { cwd: Some("/nope".into()), ..sh("job_6", "true") });
    let jobs = || shell.cgroup.as_ref().unwrap().jobs();
    let hierarchies = shell.cgroup.as_ref().unwrap().dirs.len();
    eventually("the others are removed", || (1..=2 * hierarchies).contains(&jobs().len()));
    assert_eq!(shell.cgroup.as_ref().unwrap().processes_of_jobs(), "");
}

#[test]
fn jobs_that_follow_each_other_share_few_cgroups() {
    let Some(shell) = Shell::boot_with_cgroup() else { return };
    if shell.cgroup.as_ref().unwrap().dirs.len() == 1 {
        println!(
            "SKIPPED: cgroup v2 can't reset the peak of memory, so each job gets a new cgroup"
        );
        return;
    }
    for number in 0..10 {
        shell.run(sh(&format!("job_{number}"), "true"));
    }
    let jobs = shell.cgroup.as_ref().unwrap().jobs();
    let numbers = jobs.iter().map(|name| name["job.".len()..].parse::<u32>().unwrap());
    let last = numbers.max().unwrap();
    assert!(last < 5, "ten jobs took cgroups up to number {last}: {jobs:?}");
}

#[test]
fn what_a_job_has_used_is_not_counted_to_a_later_one() {
    let Some(shell) = Shell::boot_with_cgroup() else { return };
    let used = shell.run(sh("before", "perl -e '$x = q(a) x (64 << 20); 1 while $i++ < 3e6'"));
    assert!(used.exit.usage.memory_peak_bytes > Some(60 << 20), "{:?}", used.exit);
    assert!(used.exit.usage.cpu_ms > 20, "{:?}", used.exit);
    for number in 0..10 {
        let usage = shell.run(argv(&format!("job_{number}"), &["true"])).exit.usage;
        assert!(usage.memory_peak_bytes < Some(8 << 20), "{usage:?}");
        assert!(usage.cpu_ms < 20, "{usage:?}");
    }
}

#[test]
fn a_job_after_one_that_was_killed_can_start_processes() {
    let Some(shell) = Shell::boot_with_cgroup() else { return };
    for number in 0..6 {
        let left = format!("(trap '' TERM; setsid sleep 1006 &); echo {number}");
        assert_eq!(shell.run(sh(&format!("left_{number}"), &left)).exit.leftover, 1);
        let ran =
            shell.run(sh(&format!("job_{number}"), "for i in 1 2 3; do (echo $i) & done; wait"));
        assert_eq!((ran.code(), ran.text().lines().count()), (0, 3), "{ran:?}");
    }
}

#[test]
fn usage_includes_processes_that_were_not_waited_for() {
    let Some(shell) = Shell::boot_with_cgroup() else { return };
    let line = "(setsid sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done' &); \
                sleep 0.1; head -c 1 /dev/zero >/dev/null; while :; do sleep 0.05; done";
    let mut caller = shell.connect();
    caller.send(&Request::Start(sh("job_1", line)));
    caller.until("done");
    assert_eq!(shell.ask(Request::Cancel { job_id: "job_1".into() }), Event::Ok);
    let usage = caller.finish().exit.usage;
    assert!(usage.cpu_ms >= 20, "{usage:?}");
    assert!(usage.memory_peak_bytes > Some(100_000), "{usage:?}");
    assert_eq!(usage.oom_kills, Some(0));
}

#[test]
fn an_oom_kill_is_reported_by_the_job_that_was_hit_only() {
    let Some(shell) = Shell::boot_with_cgroup() else { return };
    shell.cgroup.as_ref().unwrap().limit_memory(64 << 20);
    let mut other = shell.connect();
    other
        .send(&Request::Start(sh("other", "echo up; read line < /dev/null; sleep 1000; exit 137")));
    other.until("up");
    let hog = "perl -e '$x = q(a) x (256 << 20); print length $x'";
    let ran = shell.run(sh("tolerated", &format!("{hog} || true")));
    assert_eq!((ran.code(), ran.exit.usage.oom_kills), (0, Some(1)), "{ran:?}");
    let ran = shell.run(sh("passed_on", &format!("{hog}; exit $?")));
    assert_eq!((&ran.exit.cause, ran.exit.usage.oom_kills), (&Cause::OomKilled, Some(1)));
    let ran = shell.run(sh("main", &format!("exec {hog}")));
    assert_eq!((&ran.exit.cause, ran.exit.usage.oom_kills), (&Cause::OomKilled, Some(1)));
    let ran = shell.run(sh("innocent", "exit 137"));
    assert_eq!((ran.code(), ran.exit.usage.oom_kills), (137, Some(0)));
    let kill = Request::Signal { job_id: "other".into(), signal: libc::SIGKILL };
    assert_eq!(shell.ask(kill), Event::Ok);
    let exit = other.finish().exit;
    assert_eq!((exit.cause, exit.usage.oom_kills), (Cause::Signalled { signal: 9 }, Some(0)));
}

#[test]
fn without_a_cgroup_oom_kills_are_unknown() {
    let ran = Shell::boot().run(Start { keep: Keep::Head, ..sh("job_1", "exit 137") });
    assert_eq!((ran.code(), ran.exit.usage.oom_kills), (137, None));
}
