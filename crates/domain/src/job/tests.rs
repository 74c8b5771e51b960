use proptest::prelude::*;
use ulid::Ulid;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn queued() -> Queued {
    let id = JobId::from_ulid(Ulid::from_parts(0, 1));
    let session = SessionId::from_ulid(Ulid::from_parts(0, 2));
    let (user, work) = (UserId::new("u"), Work::Stop);
    Job::accept(Common { id, session, user, work, created_at: at(0) })
}

fn exited(code: i32) -> Outcome {
    Outcome::Completed { exit: Some(Exit::Code(code)), failure: None }
}

/// One outcome of each class, with the status that it means.
fn outcomes() -> [(Outcome, Status); 5] {
    let failure = Failure::new("code", "message");
    let none = None::<Failure>;
    [
        (exited(7), Status::Completed),
        (Outcome::Failed { failure: failure.clone() }, Status::Failed),
        (Outcome::TimedOut { exit: Some(Exit::Signal(15)) }, Status::TimedOut),
        (Outcome::Cancelled { exit: None, failure: none }, Status::Cancelled),
        (Outcome::Lost { failure }, Status::Lost),
    ]
}

#[test]
fn every_transition_gives_the_expected_status() {
    let running = || queued().claim("w", at(1));
    let end = || exited(0);
    let table: [(&str, Job, Status); 8] = [
        ("queued: look_again", queued().recheck_at(at(9)).into(), Status::Queued),
        ("queued: claim", running().into(), Status::Running),
        ("queued: end", queued().end(end(), at(2)).into(), Status::Completed),
        ("running: take_over", running().take_over("v", at(2)).into(), Status::Running),
        (
            "running: progress",
            running().progress(StreamStats::NOTHING, StreamStats::NOTHING, at(2)).into(),
            Status::Running,
        ),
        ("running: let_go", running().release_lease(at(2)).into(), Status::Running),
        ("running: request_cancel", running().request_cancel(at(2)).into(), Status::Running),
        ("running: end", running().end(end(), None, at(2)).into(), Status::Completed),
    ];
    for (name, job, status) in table {
        assert_eq!(job.status(), status, "{name}");
        assert_eq!(job.due_at().is_none(), matches!(job, Job::Finished(_)), "{name}");
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job, "{name}");
    }
}

#[test]
fn every_outcome_has_its_status_and_survives_a_round_trip_through_json() {
    for (outcome, status) in outcomes() {
        let job = Job::from(queued().claim("w", at(1)).end(outcome, None, at(2)));
        assert_eq!(job.status(), status);
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    }
}

#[test]
fn an_expired_lease_may_be_taken_over_with_a_higher_attempt() {
    let job = queued().claim("w", at(0));
    assert!(!job.lease_expired(at(29)));
    assert!(job.lease_expired(at(30)));
    assert_eq!(job.attempt(), 1);
    let taken = job.take_over("v", at(30));
    assert_eq!((taken.attempt(), taken.lease().worker.as_str()), (2, "v"));
    assert!(!taken.lease_expired(at(59)));
    assert_eq!(Job::from(taken).started_at(), Some(at(0)));
}

#[test]
fn progress_renews_the_lease_and_never_shortens_it() {
    let job =
        queued().claim("w", at(0)).progress(StreamStats::NOTHING, StreamStats::NOTHING, at(20));
    assert_eq!(job.lease().until, at(50));
    let back = job.progress(StreamStats::NOTHING, StreamStats::NOTHING, at(5));
    assert_eq!(back.lease().until, at(50));
    assert_eq!(back.release_lease(at(6)).lease().until, at(6));
}

#[test]
fn a_requested_cancellation_survives_the_worker() {
    let job =
        queued().claim("w", at(0)).request_cancel(at(1)).release_lease(at(2)).take_over("v", at(3));
    assert!(job.cancel_requested());
}

#[test]
fn a_job_that_never_ran_has_no_start_time() {
    let job = Job::from(queued().end(exited(0), at(3)));
    assert_eq!((job.started_at(), job.attempt()), (None, 0));
}

#[test]
fn output_beyond_what_is_stored_is_counted() {
    let stats = StreamStats::NOTHING.plus(10);
    assert!(!stats.truncated());
    let stats = StreamStats { written: 50, ..stats };
    assert!(stats.truncated());
    assert_eq!(stats.plus(5), StreamStats { stored: 15, written: 50, gap: None });
    assert_eq!(stats.plus(100), StreamStats { stored: 110, written: 110, gap: None });
}

proptest! {
    #[test]
    fn attempts_never_decrease_and_the_start_time_never_changes(turns in prop::collection::vec((0..5_usize, 0..90_i64), 0..40)) {
        let mut job = queued().claim("w", at(0));
        let mut now = 0;
        for (turn, later) in turns {
            now += later;
            let before = job.clone();
            let (stdout, stderr) = job.output();
            job = match turn {
                0 => job.take_over("v", at(now)),
                1 => job.progress(stdout.plus(3), stderr, at(now)),
                2 => job.release_lease(at(now)),
                3 => job.request_cancel(at(now)),
                _ => job.progress(stdout, stderr.plus(1), at(now)),
            };
            prop_assert!(job.attempt() >= before.attempt());
            prop_assert!(job.cancel_requested() || !before.cancel_requested());
            prop_assert!(job.output().0.stored >= before.output().0.stored);
            prop_assert_eq!(job.started_at, before.started_at);
            prop_assert!(Job::from(job.clone()).due_at().is_some());
        }
    }
}

#[test]
fn stored_bytes_are_found_on_both_sides_of_a_gap() {
    let whole = StreamStats::NOTHING.plus(10);
    assert_eq!((whole.find(0), whole.find(4)), ((0, 0, 10), (4, 4, 6)));
    assert_eq!((whole.find(10), whole.find(99)), ((10, 10, 0), (99, 99, 0)));
    let cut = StreamStats { gap: Some(Gap { from: 10, to: 50 }), ..whole }.plus(5);
    assert_eq!((cut.stored, cut.written, cut.end(), cut.truncated()), (15, 55, 55, true));
    assert_eq!((cut.find(0), cut.find(9)), ((0, 0, 10), (9, 9, 1)));
    assert_eq!((cut.find(10), cut.find(49)), ((50, 10, 5), (50, 10, 5)));
    assert_eq!((cut.find(50), cut.find(54)), ((50, 10, 5), (54, 14, 1)));
    assert_eq!((cut.find(55), cut.find(99)), ((55, 15, 0), (99, 59, 0)));
}

#[test]
fn a_job_that_reached_no_runner_is_known_not_to_have_started_until_a_worker_takes_over() {
    let running = queued().claim("w", at(0));
    assert!(!running.is_unreached());
    let released = running.unreached().release_lease(at(1)).request_cancel(at(1));
    assert!(released.is_unreached());
    assert!(!released.take_over("v", at(2)).is_unreached());
}
