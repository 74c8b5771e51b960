//! Ids and values for tests. The same name gives the same id everywhere.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    JobId, Secret, SessionId, TaskId, UserId,
    command::{Command, Program},
    session::{Admission, Spec},
    size::{Network, Size},
    warm,
};
use ulid::Ulid;

/// The id of the session that a test calls by this name.
pub fn session_id(name: &str) -> SessionId {
    SessionId::from_ulid(named(name))
}

/// The id of the job that a test calls by this name. Ids sort like names.
pub fn job_id(name: &str) -> JobId {
    JobId::from_ulid(named(name))
}

/// The task of the session that a test calls by this name.
pub fn task_id(session: &str) -> TaskId {
    TaskId::new(format!("task-of-{session}"))
}

/// The user of all fixtures.
pub fn user_id() -> UserId {
    UserId::new("ann")
}

/// The default spec of a session.
pub fn spec() -> Spec {
    Spec {
        files: Secret::default(),
        image: "default".into(),
        size: Size::DEFAULT,
        ttl: Duration::from_hours(1),
        idle_timeout: None,
        env: Secret::default(),
        metadata: BTreeMap::new(),
        network: Network::None,
        spot: false,
        admission: Admission::Reject,
        webhook: None,
    }
}

/// The kind of warm task that serves [`spec`].
pub fn kind() -> warm::Kind {
    spec().warm_kind()
}

/// A serial shell command with default options.
pub fn command(line: &str) -> Command {
    Command::new(Program::Shell(line.to_owned()), Duration::from_mins(10), 1_048_576)
}

/// Up to ten bytes of the name itself, so that ids sort like names and never collide by accident.
fn named(name: &str) -> Ulid {
    let mut random = [0_u8; 16];
    let (head, tail) = name.as_bytes().split_at(name.len().min(9));
    random[6..6 + head.len()].copy_from_slice(head);
    // Longer names differ by a sum of what does not fit.
    random[15] = tail.iter().fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(*byte));
    Ulid::from_parts(1_767_225_600_000, u128::from_be_bytes(random))
}
