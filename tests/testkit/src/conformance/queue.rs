//! The suite of the port `Queue`.

use std::{sync::Arc, time::Duration};

use domain::{
    DeliveryId,
    message::Message,
    ports::{Clock, Queue},
    task::{StopCause, StopCode, TaskFacts, TaskStatus},
};
use futures::future::BoxFuture;

use super::run_cases;
use crate::{SimClock, job_id, session_id, task_id};

/// A delay that a queue must keep, and how much longer a delivery may take on a busy machine.
const DELAY: Duration = Duration::from_secs(3);
const LATE: Duration = Duration::from_secs(60);

/// An implementation of `Queue`, and its receiving side.
pub struct QueueUnderTest {
    /// The port.
    pub queue: Arc<dyn Queue>,
    /// The clock that the queue uses.
    pub clock: Arc<dyn Clock>,
    /// Lets some of that time pass, at most a second.
    pub pass: Box<dyn Fn() -> BoxFuture<'static, ()>>,
    /// Takes and deletes all messages that are due now, from all lanes.
    pub take: Box<dyn Fn() -> BoxFuture<'static, Vec<Message>>>,
}

impl std::fmt::Debug for QueueUnderTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueUnderTest").finish_non_exhaustive()
    }
}

/// Runs all cases, each on a queue of its own.
pub async fn queue_suite(make: impl AsyncFn() -> QueueUnderTest) {
    run_cases!(make => every_message_arrives_as_it_was_sent, a_delayed_message_waits);
}

async fn every_message_arrives_as_it_was_sent(made: &QueueUnderTest) {
    let sent = messages();
    for message in &sent {
        made.queue.send(message, Duration::ZERO).await.unwrap();
    }
    let mut got = (made.take)().await;
    for message in sent {
        let place = got.iter().position(|one| *one == message);
        got.remove(place.unwrap_or_else(|| panic!("{message:?} did not arrive")));
    }
    assert_eq!(got, []);
    assert_eq!((made.take)().await, [], "what was settled does not come again");
}

async fn a_delayed_message_waits(made: &QueueUnderTest) {
    let sent = made.clock.now();
    made.queue.send(&Message::FillPool, DELAY).await.unwrap();
    let mut taken = (made.take)().await;
    while taken.is_empty() {
        assert!(made.clock.now().since(sent) < DELAY + LATE, "it never arrived");
        (made.pass)().await;
        taken = (made.take)().await;
    }
    assert_eq!(taken, [Message::FillPool]);
    assert!(made.clock.now().since(sent) >= DELAY, "it came too soon");
}

fn messages() -> Vec<Message> {
    let session = session_id("s");
    let cause =
        StopCause { code: StopCode::OutOfMemory, message: "é".into(), exit_code: Some(137) };
    let facts = TaskFacts {
        task: task_id("s"),
        started_by: session.to_string(),
        version: 3,
        status: TaskStatus::Stopped,
        ending: true,
        stop: Some(cause),
        at: SimClock::default().now(),
    };
    vec![
        Message::StartSession { session },
        Message::NotifySession { session },
        Message::RunJob { session },
        Message::CancelJob { job: job_id("j") },
        Message::SignalJob { job: job_id("j"), signal: 15 },
        Message::OpenTerminal { job: job_id("j") },
        Message::SetDeadline { session },
        Message::TaskEvent { facts: facts.clone() },
        Message::ProbeTask { facts },
        Message::DeliverWebhook { delivery: DeliveryId::from_ulid(session.ulid()) },
        Message::FillPool,
    ]
}
