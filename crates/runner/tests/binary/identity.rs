//! A job id runs at most once, whatever requests are sent in whatever order.

use std::fs;

use runner::protocol::{Cause, Ended, Event, Offsets, Request, Start};

use crate::shell::{Shell, argv, sh};

fn cancel(job_id: &str) -> Request {
    Request::Cancel { job_id: job_id.into() }
}

#[test]
fn a_job_started_twice_runs_once_and_both_callers_receive_all_of_it() {
    let shell = Shell::boot();
    let first = shell.run(sh("job_1", "echo $$; echo err >&2"));
    let second = shell.run(sh("job_1", "echo something else"));
    assert_eq!((&first.stdout, &first.stderr), (&second.stdout, &second.stderr));
    assert_eq!(first.exit, second.exit);
}

#[test]
fn two_callers_of_a_running_job_both_receive_all_of_it() {
    let shell = Shell::boot();
    let mut first = shell.connect();
    let fifo = shell.directory.path().join("jobs/job_1");
    first.send(&Request::Start(sh("job_1", "echo begin; kill -STOP $$; echo end")));
    first.until("begin");
    assert!(fifo.exists());
    let mut second = shell.connect();
    second.send(&Request::Start(sh("job_1", "echo other")));
    second.until("begin");
    let resume = Request::Signal { job_id: "job_1".into(), signal: libc::SIGCONT };
    // The job may stop itself only after the first SIGCONT.
    second.send(&resume);
    while !matches!(second.next(), Event::Exited(_)) {
        second.send(&resume);
    }
    assert_eq!(first.finish().text(), "end\n");
}

#[test]
fn attaching_sends_the_output_after_the_offsets() {
    let shell = Shell::boot();
    shell.run(sh("job_1", "printf 0123456789; printf abc >&2"));
    let ran = shell.attach("job_1", 4, 1);
    assert_eq!((ran.text(), ran.stderr.as_slice(), ran.started), ("456789", &b"bc"[..], true));
    let beyond = shell.attach("job_1", 10, u64::MAX);
    assert!(beyond.stdout.is_empty() && beyond.stderr.is_empty());
}

#[test]
fn an_id_never_seen_is_unknown() {
    let shell = Shell::boot();
    let job_id = || "job_1".to_owned();
    let from = Offsets::default();
    assert_eq!(shell.ask(Request::Attach { job_id: job_id(), from }), Event::Unknown);
    assert_eq!(shell.ask(Request::Signal { job_id: job_id(), signal: 15 }), Event::Unknown);
    assert_eq!(shell.ask(Request::Release { job_id: job_id() }), Event::Unknown);
}

#[test]
fn an_id_that_is_not_a_safe_file_name_is_rejected() {
    let shell = Shell::boot();
    for id in ["", ".", "../job", "a/b", "a b", &"a".repeat(65)] {
        let answer = shell.ask(Request::Start(sh(id, "true")));
        assert!(matches!(answer, Event::Error { retryable: false, .. }), "{id:?}: {answer:?}");
        assert!(matches!(shell.ask(cancel(id)), Event::Error { .. }), "{id:?}");
    }
}

#[test]
fn a_job_cancelled_before_its_start_never_runs() {
    let shell = Shell::boot();
    assert_eq!(shell.ask(cancel("job_1")), Event::Ok);
    assert_eq!(shell.ask(cancel("job_1")), Event::Ok);
    let ran = shell.run(sh("job_1", "echo ran"));
    assert_eq!(ran.exit.cause, Cause::Cancelled { ended: None });
    assert!(!ran.started && ran.stdout.is_empty());
}

#[test]
fn cancelling_an_ended_job_changes_nothing() {
    let shell = Shell::boot();
    let ran = shell.run(sh("job_1", "exit 3"));
    assert_eq!(shell.ask(cancel("job_1")), Event::Ok);
    assert_eq!(shell.attach("job_1", 0, 0).exit, ran.exit);
}

#[test]
fn a_cancelled_job_reports_how_it_ended() {
    let shell = Shell::boot();
    let mut caller = shell.connect();
    caller.send(&Request::Start(argv("job_1", &["sleep", "1000"])));
    assert_eq!(caller.next(), Event::Started);
    assert_eq!(shell.ask(cancel("job_1")), Event::Ok);
    let cause = Cause::Cancelled { ended: Some(Ended::Signal(libc::SIGTERM)) };
    assert_eq!(caller.finish().exit.cause, cause);
}

#[test]
fn a_released_job_keeps_its_id_and_its_exit() {
    let shell = Shell::boot();
    let ran = shell.run(sh("job_1", "echo out"));
    assert_eq!(shell.ask(Request::Release { job_id: "job_1".into() }), Event::Ok);
    assert_eq!(shell.ask(Request::Release { job_id: "job_1".into() }), Event::Ok);
    let again = shell.run(sh("job_1", "echo again"));
    assert_eq!((&again.exit, again.text()), (&ran.exit, ""));
    let left = fs::read_dir(shell.directory.path().join("jobs/job_1")).unwrap();
    assert_eq!(left.map(|file| file.unwrap().file_name()).collect::<Vec<_>>(), ["exit"]);
}

#[test]
fn a_running_job_is_not_released() {
    let shell = Shell::boot();
    let mut caller = shell.connect();
    caller.send(&Request::Start(argv("job_1", &["sleep", "1000"])));
    assert_eq!(caller.next(), Event::Started);
    caller.send(&Request::Release { job_id: "job_1".into() });
    assert!(matches!(caller.next(), Event::Error { retryable: false, .. }));
}

#[test]
fn a_connection_follows_one_job_at_a_time_and_then_the_next() {
    let shell = Shell::boot();
    let mut caller = shell.connect();
    caller.send(&Request::Start(sh("job_1", "sleep 1000")));
    assert_eq!(caller.next(), Event::Started);
    caller.send(&Request::Start(sh("job_2", "true")));
    assert!(matches!(caller.next(), Event::Error { .. }));
    caller.send(&Request::Signal { job_id: "job_1".into(), signal: libc::SIGKILL });
    assert_eq!(caller.next(), Event::Ok);
    assert_eq!(caller.finish().exit.cause, Cause::Signalled { signal: libc::SIGKILL });
    caller.send(&Request::Start(sh("job_2", "echo two")));
    assert_eq!(caller.finish().text(), "two\n");
}

#[test]
fn a_job_of_a_runner_that_died_is_lost_and_never_runs_again() {
    let shell = Shell::boot();
    let ended = shell.run(sh("job_1", "echo one"));
    let mut caller = shell.connect();
    caller.send(&Request::Start(argv("job_2", &["sleep", "5"])));
    assert_eq!(caller.next(), Event::Started);
    let shell = shell.replaced();
    assert_eq!(shell.run(Start { ..sh("job_2", "echo again") }).exit.cause, Cause::Lost);
    let still_known = shell.attach("job_1", 0, 0);
    assert_eq!((still_known.exit, still_known.stdout), (ended.exit, ended.stdout));
}

#[test]
fn a_second_runner_on_the_same_job_directory_exits_with_an_error() {
    let shell = Shell::boot();
    let output = Shell::command(&shell.directory).output().unwrap();
    assert!(!output.status.success());
    assert!(
        matches!(shell.ask(Request::Probe), Event::Ready { .. }),
        "the first runner must still run"
    );
}
