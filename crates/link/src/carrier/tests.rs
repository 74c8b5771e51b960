use std::collections::BTreeSet;

use runner::protocol::{Keep, Offsets, Output, Stream};

use super::*;
use crate::{
    frame::{Bytes, MAX_FRAME_BYTES, Report},
    split,
};

mod lossy;

pub(crate) fn start(job: &str, stdin: Vec<u8>) -> Start {
    Start {
        job_id: job.to_owned(),
        argv: vec!["true".into()],
        cwd: None,
        prefer_bash: false,
        env: Vec::new(),
        user: "shelluser".into(),
        stdin,
        timeout_ms: 1000,
        max_output_bytes: 1 << 20,
        keep: Keep::Head,
        merge: false,
        marks: false,
        background: false,
        shell: None,
        from: Offsets::default(),
        terminal: None,
    }
}

fn exit(code: i32) -> Exit {
    Exit::not_run(Cause::Exited { code })
}

fn output(offset: u64, bytes: &[u8]) -> Event {
    Event::Output(Output { stream: Stream::Stdout, offset, bytes: bytes.to_vec() })
}

const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A carrier that is connected and has just got the request to run `j`; and the connection that it opened.
fn running() -> (Carrier, u64) {
    let mut carrier = Carrier::default();
    carrier.connected(at(0));
    let hello = Action::Send(FromRunner::Hello { jobs: Vec::new() });
    assert_eq!(carrier.poll(at(0)), Some(hello));
    greet(&mut carrier, at(0));
    run(&mut carrier, "1", at(0));
    let Some(Action::Open(connection, Request::Start(_))) = carrier.poll(at(0)) else { panic!() };
    assert_eq!(carrier.poll(at(0)), Some(Action::Read(connection)));
    assert_eq!(carrier.poll(at(0)), None);
    (carrier, connection)
}

/// The answer to `hello`.
fn greet(carrier: &mut Carrier, now: Duration) {
    carrier.frame(ToRunner::Token { token: "next".into() }, now);
    assert_eq!(carrier.poll(now), Some(Action::UseToken("next".into())));
}

fn run(carrier: &mut Carrier, id: &str, now: Duration) {
    for frame in split(&start("j", Vec::new()), id).unwrap() {
        carrier.frame(frame, now);
    }
}

/// The next report, after actions that are not reports.
fn report(carrier: &mut Carrier, now: Duration) -> Option<Report> {
    while let Some(action) = carrier.poll(now) {
        if let Action::Send(FromRunner::Report(report)) = action {
            return Some(report);
        }
    }
    None
}

fn stored(stdout: u64, over: bool) -> ToRunner {
    ToRunner::Stored { job: "j".into(), stdout, stderr: 0, over }
}

#[test]
fn a_short_command_needs_one_report() {
    let (mut carrier, connection) = running();
    carrier.event(connection, Event::Started, at(1));
    assert!(report(&mut carrier, at(1)).is_none());
    carrier.event(connection, output(0, b"hi"), at(2));
    assert!(report(&mut carrier, at(2)).is_none());
    carrier.event(connection, Event::Exited(exit(3)), at(3));
    let report = report(&mut carrier, at(3)).unwrap();
    assert_eq!(report.output[0].data, Bytes(b"hi".to_vec()));
    assert_eq!(report.end.unwrap().exit, exit(3));
}

#[test]
fn a_silent_command_is_reported_as_started_once() {
    let (mut carrier, connection) = running();
    carrier.event(connection, Event::Started, at(1));
    assert_eq!(carrier.due(), Some(at(201)));
    let first = report(&mut carrier, at(201)).unwrap();
    assert!(first.output.is_empty() && first.end.is_none());
    carrier.frame(stored(0, false), at(250));
    assert_eq!(carrier.due(), None);
}

#[test]
fn output_is_gathered_for_a_second_unless_it_is_much() {
    let (mut carrier, connection) = running();
    carrier.event(connection, output(0, b"a"), at(1));
    assert!(report(&mut carrier, at(201)).is_some());
    carrier.frame(stored(1, false), at(210));
    carrier.event(connection, output(1, b"b"), at(220));
    assert_eq!(carrier.due(), Some(at(1201)));
    assert!(report(&mut carrier, at(1201)).is_some());
    carrier.frame(stored(2, false), at(1210));
    carrier.event(connection, output(2, &[0; 64 << 10]), at(1220));
    assert!(report(&mut carrier, at(1220)).is_some());
    // Nothing more is read meanwhile.
    assert_eq!(carrier.poll(at(1221)), None);
}

#[test]
fn a_report_is_sent_again_until_it_is_answered() {
    let (mut carrier, connection) = running();
    carrier.event(connection, output(0, b"a"), at(0));
    let first = report(&mut carrier, at(200)).unwrap();
    assert!(report(&mut carrier, at(5199)).is_none());
    assert_eq!(report(&mut carrier, at(5200)), Some(first.clone()));
    carrier.disconnected();
    assert!(report(&mut carrier, at(60_000)).is_none());
    carrier.connected(at(60_000));
    let hello = Action::Send(FromRunner::Hello { jobs: vec!["j".into()] });
    assert_eq!(carrier.poll(at(60_000)), Some(hello));
    greet(&mut carrier, at(60_000));
    assert_eq!(report(&mut carrier, at(60_000)), Some(first));
    // An answer that is late changes nothing.
    carrier.frame(stored(1, false), at(60_010));
    carrier.frame(stored(0, false), at(60_020));
    assert!(report(&mut carrier, at(100_000)).is_none());
}

#[test]
fn a_job_that_is_stored_is_released_and_forgotten() {
    let (mut carrier, connection) = running();
    carrier.event(connection, Event::Exited(exit(0)), at(0));
    assert!(report(&mut carrier, at(0)).is_some());
    carrier.frame(stored(0, true), at(10));
    let release = Action::Request(Request::Release { job_id: "j".into() });
    assert_eq!(carrier.poll(at(10)), Some(release));
    assert!(carrier.is_idle());
}

#[test]
fn a_request_that_comes_twice_opens_no_second_connection() {
    let (mut carrier, connection) = running();
    carrier.event(connection, Event::Started, at(1));
    assert!(report(&mut carrier, at(201)).is_some());
    carrier.frame(stored(0, false), at(250));
    run(&mut carrier, "2", at(60_000));
    let report = report(&mut carrier, at(60_000)).unwrap();
    assert!(report.output.is_empty() && report.end.is_none());
}

#[test]
fn a_runner_that_can_not_start_the_job_now_is_asked_again() {
    let (mut carrier, connection) = running();
    let error = Event::Error { message: "busy".into(), retryable: true };
    carrier.event(connection, error, at(0));
    assert_eq!(carrier.poll(at(0)), Some(Action::Close(connection)));
    assert_eq!(carrier.poll(at(999)), None);
    let Some(Action::Open(_, Request::Start(_))) = carrier.poll(at(1000)) else { panic!() };
}

#[test]
fn a_connection_that_is_lost_is_opened_again_where_it_ended() {
    let (mut carrier, connection) = running();
    carrier.event(connection, output(0, b"abc"), at(0));
    carrier.closed(connection, at(5));
    carrier.event(connection, output(0, b"abc"), at(6));
    let from = Offsets { stdout: 3, stderr: 0 };
    assert!(report(&mut carrier, at(200)).is_some());
    let attach = Request::Attach { job_id: "j".into(), from };
    assert_eq!(carrier.poll(at(1005)), Some(Action::Open(2, attach)));
}

#[test]
fn hello_is_sent_again_until_it_is_answered() {
    let hello = || Some(Action::Send(FromRunner::Hello { jobs: Vec::new() }));
    let mut carrier = Carrier::default();
    carrier.connected(at(0));
    assert_eq!(carrier.poll(at(0)), hello());
    assert_eq!(carrier.due(), Some(at(5000)));
    assert_eq!([carrier.poll(at(4999)), carrier.poll(at(5000))], [None, hello()]);
    greet(&mut carrier, at(5100));
    assert_eq!(carrier.due(), None);
    carrier.disconnected();
    carrier.connected(at(6000));
    assert_eq!(carrier.poll(at(6000)), hello());
}

fn signal(id: &str) -> ToRunner {
    ToRunner::Signal { job: "j".into(), id: id.into(), signal: 2 }
}

/// The number of the next attempt to send the signal to the runner.
fn asked(carrier: &mut Carrier, now: Duration) -> u64 {
    let Some(Action::Ask(number, request)) = carrier.poll(now) else { panic!("no request") };
    assert_eq!(request, Request::Signal { job_id: "j".into(), signal: 2 });
    number
}

#[test]
fn a_signal_that_comes_twice_acts_once_and_is_confirmed_each_time() {
    let (mut carrier, _) = running();
    let done = |id: &str| Some(Action::Send(FromRunner::Done { id: id.into() }));
    for id in ["a", "a", "b"] {
        carrier.frame(signal(id), at(0));
    }
    let numbers = [asked(&mut carrier, at(0)), asked(&mut carrier, at(0))];
    assert_eq!(carrier.poll(at(0)), None);
    for (number, id) in numbers.into_iter().zip(["a", "b"]) {
        carrier.answered(number, Some(&Event::Ok), at(1));
        assert_eq!(carrier.poll(at(1)), done(id));
    }
    carrier.frame(signal("a"), at(2));
    assert_eq!([carrier.poll(at(2)), carrier.poll(at(2))], [done("a"), None]);
}

#[test]
fn a_signal_waits_for_a_job_that_the_runner_does_not_know_yet() {
    let (mut carrier, _) = running();
    carrier.frame(signal("a"), at(0));
    for (now, answer) in [(0, Some(Event::Unknown)), (1000, None), (2000, Some(Event::Ok))] {
        let number = asked(&mut carrier, at(now));
        carrier.answered(number, answer.as_ref(), at(now));
        if answer != Some(Event::Ok) {
            assert_eq!(carrier.poll(at(now + 999)), None);
            assert_eq!(carrier.due(), Some(at(now + 1000)));
        }
    }
    let done = Action::Send(FromRunner::Done { id: "a".into() });
    assert_eq!(carrier.poll(at(2000)), Some(done));
    // A job that never comes.
    carrier.frame(signal("b"), at(3000));
    for now in [3000, 303_000] {
        let number = asked(&mut carrier, at(now));
        carrier.answered(number, Some(&Event::Unknown), at(now));
    }
    let done = Action::Send(FromRunner::Done { id: "b".into() });
    assert_eq!(carrier.poll(at(303_000)), Some(done));
}

#[test]
fn the_longest_report_fits_in_a_frame() {
    let (mut carrier, connection) = running();
    let mut offset = 0;
    for length in [24 << 10, 64 << 10] {
        carrier.event(connection, output(offset, &vec![255; length]), at(0));
        offset += length as u64;
        if length == 24 << 10 {
            assert_eq!(carrier.poll(at(0)), Some(Action::Read(connection)));
        }
    }
    let longest = FromRunner::Report(report(&mut carrier, at(0)).unwrap());
    let length = serde_json::to_string(&longest).unwrap().len();
    assert!(length < MAX_FRAME_BYTES - (8 << 10), "{length}");
}
