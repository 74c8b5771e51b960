use std::collections::BTreeMap;

use domain::{
    Secret,
    command::Command,
    job::{Common, Outcome, StreamStats, Work},
    ports::Expect,
    session::{Queued, Session},
    timeline::{Actor, Stamp},
};
use testkit::{command, job_id, session_id, spec, user_id};

use super::*;

fn at(seconds: i64) -> domain::Timestamp {
    domain::Timestamp::from_millis(1_767_225_600_000 + seconds * 1000)
}

fn job(concurrency: Concurrency) -> domain::job::Queued {
    let mut command = command("echo s3cret");
    command.concurrency = concurrency;
    command.stdin = Secret::new(b"s3cret".to_vec());
    let work = Work::Execute(Box::new(command));
    let (id, session) = (job_id("j"), session_id("s"));
    Job::accept(Common { id, session, user: user_id(), work, created_at: at(0) })
}

fn session() -> Session {
    let mut spec = spec();
    spec.env = Secret::new(BTreeMap::from([("KEY".into(), "s3cret".into())]));
    let (id, stamp) = (session_id("s"), Stamp::new(Actor::User, at(0)));
    Queued::accept(id, user_id(), job_id("+s"), spec, stamp).any().session
}

fn new(job: impl Into<Job>) -> Write {
    Write::Job(Box::new(job.into()), Expect::New)
}

fn over(job: domain::job::Queued) -> Write {
    let outcome = Outcome::Completed { exit: None, failure: None };
    let job = job.end(outcome, at(1));
    Write::Job(Box::new(job.into()), Expect::At(domain::ports::Version(1)))
}

fn end_turn() -> Write {
    Write::EndTurn { session: session_id("s"), job: job_id("j") }
}

fn keys(writes: Vec<Write>) -> Vec<String> {
    let items = of(writes).unwrap().items.into_iter();
    items.map(|item| format!("{} {}", item.key.pk, item.key.sk)).collect()
}

#[test]
fn output_chunks_with_a_gap_are_a_conflict() {
    let chunk = |offset| {
        let bytes = Secret::new(b"abc".to_vec());
        Write::Output { job: job_id("j"), stream: Stream::Stdout, offset, bytes }
    };
    assert!(matches!(of(vec![chunk(0), chunk(4)]), Err(CommitError::Conflict)));
    assert_eq!(keys(vec![chunk(0), chunk(3)]).len(), 3);
}

#[test]
fn the_end_of_a_parallel_job_writes_no_turn() {
    let turns = |writes| {
        let items = of(writes).unwrap().items;
        items.iter().any(|item| format!("{item:?}").contains("#turn"))
    };
    assert!(turns(vec![over(job(Concurrency::Serial)), end_turn()]));
    assert!(!turns(vec![over(job(Concurrency::Parallel)), end_turn()]));
    assert!(turns(vec![end_turn()]));
}

#[test]
fn what_a_commit_changes_in_a_mailbox_is_one_item() {
    let claimed = job(Concurrency::Serial).claim("w", at(0));
    let turn = Write::TakeTurn { session: session_id("s"), job: job_id("j") };
    let writes = vec![Write::RequireOpen(session_id("s")), new(claimed), turn];
    let mailbox = format!("{} mailbox", session_id("s"));
    assert_eq!(keys(writes).iter().filter(|key| **key == mailbox).count(), 1);
    assert_eq!(keys(vec![over(job(Concurrency::Serial)), end_turn()]).len(), 2);
}

#[test]
fn a_write_of_a_live_record_touches_one_item() {
    let later = job(Concurrency::Serial).recheck_at(at(9));
    let job = Write::Job(Box::new(later.into()), Expect::At(domain::ports::Version(1)));
    assert_eq!(keys(vec![job]).len(), 1);
    let later = session().recheck_at(at(9));
    let session = Write::Session(Box::new(later), Expect::At(domain::ports::Version(1)));
    assert_eq!(keys(vec![session]).len(), 1);
}

/// Whether the item of a finished command expires, whose output was stored to this offset before its last 3 bytes.
fn expires(command: Command, stored: u64) -> bool {
    let work = Work::Execute(Box::new(command));
    let (id, session) = (job_id("j"), session_id("s"));
    let common = Common { id, session, user: user_id(), work, created_at: at(0) };
    let (stdout, stderr) = (StreamStats::NOTHING.plus(stored + 3), StreamStats::NOTHING);
    let job = Job::accept(common).claim("w", at(0)).progress(stdout, stderr, at(1));
    let outcome = Outcome::Completed { exit: None, failure: None };
    let job = job.end(outcome, None, at(1)).with_expiry(at(100));
    let bytes = Secret::new(b"abc".to_vec());
    let piece = Write::Output { job: id, stream: Stream::Stdout, offset: stored, bytes };
    let job = Write::Job(Box::new(job.into()), Expect::At(domain::ports::Version(1)));
    let items = of(vec![piece, job]).unwrap().items;
    items.iter().any(|item| format!("{item:?}").contains("#ttl"))
}

#[test]
fn a_finished_job_expires_by_itself_if_it_is_one_item() {
    assert!(expires(command("true"), 0));
    assert!(!expires(command("true"), 9), "earlier output is another item");
    assert!(!expires(command(&"x".repeat(600)), 0), "the command is another item");
}

#[test]
fn no_key_contains_a_command_or_a_variable() {
    let writes =
        vec![new(job(Concurrency::Serial)), Write::Session(Box::new(session()), Expect::New)];
    let keys = keys(writes);
    assert!(keys.len() == 4 && !keys.concat().contains("s3cret"), "{keys:?}");
}
