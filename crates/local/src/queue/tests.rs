use domain::SessionId;
use futures::{FutureExt, future::BoxFuture};
use tempfile::{TempDir, tempdir};
use testkit::{SimClock, conformance, session_id};

use super::*;

const VISIBILITY: Duration = Duration::from_secs(30);

struct Fixture {
    dir: TempDir,
    db: Database,
    queue: SqliteQueue,
    clock: SimClock,
}

fn fixture() -> Fixture {
    let dir = tempdir().unwrap();
    let (db, clock) = (Database::open(dir.path()).unwrap(), SimClock::default());
    let queue = SqliteQueue::open(db.clone(), Arc::new(clock.clone())).unwrap();
    Fixture { dir, db, queue, clock }
}

fn session(number: u32) -> SessionId {
    session_id(&format!("{number:06}"))
}

fn run(number: u32) -> Message {
    Message::RunJob { session: session(number) }
}

impl Fixture {
    async fn send(&self, message: &Message) {
        self.queue.send(message, Duration::ZERO).await.unwrap();
    }

    fn receive(&self) -> Vec<Received> {
        self.queue.receive(Lane::Exec, self.clock.now(), 10, VISIBILITY)
    }

    fn one(&self) -> Received {
        let [one] = <[Received; 1]>::try_from(self.receive()).expect("there is one message");
        one
    }

    fn counts(&self) -> Counts {
        self.queue.counts(Lane::Exec, self.clock.now())
    }

    async fn rows(&self) -> (u32, u32) {
        self.db.flush().await.unwrap();
        let count = |db: &rusqlite::Connection| {
            let sql = "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM dead_letters)";
            db.query_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        };
        self.db.read("counting", count).unwrap()
    }

    /// Ends the process and starts another one.
    fn restart(self) -> Self {
        let Self { dir, db, queue, clock } = self;
        drop((queue, db));
        let db = Database::open(dir.path()).unwrap();
        let queue = SqliteQueue::open(db.clone(), Arc::new(clock.clone())).unwrap();
        Self { dir, db, queue, clock }
    }
}

#[tokio::test]
async fn messages_to_running_commands_do_not_wait_behind_commands() {
    let interrupts = [
        Message::CancelJob { job: testkit::job_id("j") },
        Message::SignalJob { job: testkit::job_id("j"), signal: 15 },
        Message::OpenTerminal { job: testkit::job_id("j") },
    ];
    let fixture = fixture();
    let [cancel, signal, open] = interrupts.clone();
    for message in [run(1), cancel, run(2), signal, open] {
        fixture.send(&message).await;
    }
    let counts = fixture.counts();
    let fixture = fixture.restart();
    assert_eq!((counts.ready, fixture.counts().ready), (5, 5));
    let receive = |lane: LocalLane| -> Vec<Message> {
        let received = fixture.queue.receive(lane, fixture.clock.now(), 10, VISIBILITY);
        received.into_iter().map(|received| received.message).collect()
    };
    assert_eq!(receive(LocalLane::Interrupts), interrupts);
    assert_eq!(receive(Lane::Exec.into()), [run(1), run(2)]);
}

#[tokio::test]
async fn the_conformance_suite_of_the_port_passes() {
    conformance::queue_suite(async || {
        let fixture = Arc::new(fixture());
        let (queue, clock) = (fixture.queue.clone(), fixture.clock.clone());
        let take = move || -> BoxFuture<'static, Vec<Message>> {
            let mut all = Vec::new();
            for lane in LocalLane::ALL {
                for received in
                    fixture.queue.receive(lane, fixture.clock.now(), usize::MAX, VISIBILITY)
                {
                    fixture.queue.ack(received.receipt);
                    all.push(received.message);
                }
            }
            futures::future::ready(all).boxed()
        };
        let time = clock.clone();
        let pass = move || -> BoxFuture<'static, ()> {
            time.advance(Duration::from_secs(1));
            futures::future::ready(()).boxed()
        };
        let (take, pass) = (Box::new(take), Box::new(pass));
        let (queue, clock) = (Arc::new(queue), Arc::new(clock));
        conformance::QueueUnderTest { queue, clock, pass, take }
    })
    .await;
}

#[tokio::test]
async fn thousands_of_messages_are_received_in_order() {
    let fixture = fixture();
    for number in 0..5000 {
        fixture.send(&run(number)).await;
    }
    let mut next = 0;
    loop {
        let batch = fixture.receive();
        if batch.is_empty() {
            break;
        }
        for received in batch {
            assert_eq!(received.message, run(next));
            fixture.queue.ack(received.receipt);
            next += 1;
        }
    }
    assert_eq!(next, 5000);
    assert_eq!(fixture.rows().await, (0, 0));
}

#[tokio::test]
async fn a_message_that_is_not_acknowledged_is_received_again() {
    let fixture = fixture();
    fixture.send(&run(1)).await;
    assert_eq!(fixture.one().attempts, 1);
    fixture.clock.advance(VISIBILITY - Duration::from_millis(1));
    assert_eq!(fixture.receive(), []);
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(fixture.one().attempts, 2);
}

#[tokio::test]
async fn an_old_receipt_has_no_effect() {
    let fixture = fixture();
    fixture.send(&run(1)).await;
    let old = fixture.one().receipt;
    fixture.clock.advance(VISIBILITY);
    let again = fixture.one();
    fixture.queue.ack(old);
    fixture.queue.nack(old, fixture.clock.now(), Duration::ZERO, "old");
    assert_eq!(fixture.counts(), Counts { in_flight: 1, ..Counts::default() });
    fixture.queue.ack(again.receipt);
    fixture.queue.ack(again.receipt);
    assert_eq!(fixture.counts(), Counts::default());
}

#[tokio::test]
async fn a_returned_message_is_received_again_after_its_delay() {
    let fixture = fixture();
    fixture.send(&run(1)).await;
    let delay = Duration::from_secs(5);
    fixture.queue.nack(fixture.one().receipt, fixture.clock.now(), delay, "not yet");
    assert_eq!(fixture.counts(), Counts { delayed: 1, ..Counts::default() });
    assert_eq!(fixture.queue.next_visible(Lane::Exec), Some(fixture.clock.now() + delay));
    fixture.clock.advance(delay);
    assert_eq!(fixture.one().attempts, 2);
}

#[tokio::test]
async fn a_message_returned_too_often_is_a_dead_letter_until_it_is_redriven() {
    let fixture = fixture();
    fixture.send(&run(1)).await;
    for _ in 0..MAX_ATTEMPTS {
        fixture.queue.nack(fixture.one().receipt, fixture.clock.now(), Duration::ZERO, "no");
    }
    assert_eq!(fixture.receive(), []);
    assert_eq!(fixture.counts(), Counts { dead: 1, ..Counts::default() });
    assert_eq!(fixture.rows().await, (0, 1));

    let fixture = fixture.restart();
    assert_eq!(fixture.counts(), Counts { dead: 1, ..Counts::default() });
    assert_eq!(fixture.queue.redrive(Lane::Webhooks).await.unwrap(), 0);
    assert_eq!(fixture.queue.redrive(Lane::Exec).await.unwrap(), 1);
    assert_eq!(fixture.one().attempts, 1);
    assert_eq!(fixture.rows().await, (1, 0));
}

#[tokio::test]
async fn a_message_that_is_never_acknowledged_becomes_a_dead_letter() {
    let fixture = fixture();
    fixture.send(&run(1)).await;
    for _ in 0..MAX_ATTEMPTS {
        fixture.one();
        fixture.clock.advance(VISIBILITY);
    }
    assert_eq!(fixture.receive(), []);
    assert_eq!(fixture.rows().await, (0, 1));
}

#[tokio::test]
async fn after_a_restart_all_unacknowledged_messages_can_be_received_at_once() {
    let fixture = fixture();
    fixture.send(&run(1)).await;
    fixture.queue.ack(fixture.one().receipt);
    fixture.send(&run(2)).await;
    fixture.one();
    fixture.queue.send(&run(3), Duration::from_mins(15)).await.unwrap();
    let fixture = fixture.restart();
    let got: Vec<_> =
        fixture.receive().into_iter().map(|one| (one.message, one.attempts)).collect();
    assert_eq!(got, [(run(2), 2), (run(3), 1)]);
    assert_eq!(fixture.receive(), []);
}

#[tokio::test]
async fn a_message_that_kills_the_process_becomes_a_dead_letter() {
    let mut fixture = fixture();
    fixture.send(&run(1)).await;
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(fixture.one().attempts, attempt);
        fixture.db.flush().await.unwrap();
        fixture = fixture.restart();
    }
    assert_eq!(fixture.receive(), []);
    assert_eq!(fixture.rows().await, (0, 1));
}

#[tokio::test]
async fn a_message_that_was_not_received_yet_stands_for_equal_ones() {
    let fixture = fixture();
    fixture.send(&run(1)).await;
    fixture.send(&run(1)).await;
    let first = fixture.one();
    // The first one is in flight, and its handler may have read the record already: this one is needed.
    fixture.send(&run(1)).await;
    fixture.queue.ack(first.receipt);
    fixture.queue.ack(fixture.one().receipt);
    assert_eq!(fixture.receive(), []);
}

#[tokio::test]
async fn a_delayed_message_does_not_stand_for_equal_ones() {
    let fixture = fixture();
    fixture.queue.send(&run(1), Duration::from_secs(1)).await.unwrap();
    fixture.send(&run(1)).await;
    fixture.queue.ack(fixture.one().receipt);
    fixture.clock.advance(Duration::from_secs(1));
    fixture.one();
}

#[tokio::test]
async fn a_clock_that_goes_back_hides_no_message() {
    let fixture = fixture();
    fixture.send(&run(1)).await;
    fixture.queue.ack(fixture.one().receipt);
    fixture.send(&run(2)).await;
    fixture.clock.set(fixture.clock.now() - Duration::from_hours(1));
    fixture.queue.ack(fixture.one().receipt);
    fixture.send(&run(3)).await;
    fixture.one();
}

#[tokio::test]
async fn a_message_wakes_its_receiver_before_it_is_on_disk() {
    let fixture = fixture();
    let (release, held) = std::sync::mpsc::channel::<()>();
    fixture.db.later(move |_| {
        held.recv().ok();
        Ok(())
    });
    let mut arrival = Box::pin(fixture.queue.arrival(Lane::Exec));
    assert!(arrival.as_mut().now_or_never().is_none());
    fixture.send(&run(1)).await;
    arrival.await;
    fixture.queue.ack(fixture.one().receipt);
    release.send(()).unwrap();
    assert_eq!(fixture.rows().await, (0, 0));
}

/// Writes a session of this user, so that its messages have an owner.
async fn own(fixture: &Fixture, user: &str, number: u32) {
    let (user, id) = (domain::UserId::new(user), session(number));
    let stamp = domain::timeline::Stamp::new(domain::timeline::Actor::User, fixture.clock.now());
    let job = testkit::job_id(&number.to_string());
    let accepted = domain::session::Queued::accept(id, user, job, testkit::spec(), stamp).any();
    let write =
        domain::ports::Write::Session(Box::new(accepted.session), domain::ports::Expect::New);
    let store = crate::store::SqliteStore::new(fixture.db.clone(), Arc::default());
    domain::ports::Store::commit(&store, vec![write]).await.unwrap();
}

impl Fixture {
    fn take(&self, limit: usize) -> Vec<Received> {
        self.queue.receive(Lane::Exec, self.clock.now(), limit, VISIBILITY)
    }
}

fn numbers(received: &[Received]) -> Vec<u32> {
    let number = |one: &Received| (0..3000).find(|n| one.message == run(*n)).unwrap();
    received.iter().map(number).collect()
}

#[tokio::test]
async fn users_take_turns_however_many_messages_one_of_them_has() {
    let fixture = fixture();
    for number in 0..1000 {
        own(&fixture, "mallory", number).await;
        fixture.send(&run(number)).await;
    }
    for (user, number) in [("alice", 1000), ("bob", 1001), ("alice", 1002)] {
        own(&fixture, user, number).await;
        fixture.send(&run(number)).await;
    }
    assert_eq!(numbers(&fixture.take(7)), [0, 1000, 1001, 1, 1002, 2, 3]);
    let fixture = fixture.restart();
    assert_eq!(fixture.take(2000).len(), 1003);
}

#[tokio::test]
async fn one_user_holds_no_more_than_its_share_of_a_lane() {
    let fixture = fixture();
    fixture.queue.set_share(Lane::Exec, Share::of_user(2));
    for number in 0..5 {
        own(&fixture, "mallory", number).await;
        fixture.send(&run(number)).await;
    }
    let first = fixture.take(10);
    assert_eq!(numbers(&first), [0, 1]);
    assert_eq!(fixture.take(10), []);
    // Only the visibility timeout of those in flight is left to wait for.
    let next = fixture.queue.next_visible(Lane::Exec).unwrap();
    assert_eq!(next, fixture.clock.now() + VISIBILITY);
    own(&fixture, "alice", 5).await;
    fixture.send(&run(5)).await;
    assert_eq!(numbers(&fixture.take(10)), [5]);

    while fixture.queue.arrival(Lane::Exec).now_or_never().is_some() {}
    fixture.queue.ack(first[0].receipt);
    assert!(fixture.queue.arrival(Lane::Exec).now_or_never().is_some());
    assert_eq!(numbers(&fixture.take(10)), [2]);
    fixture.queue.nack(first[1].receipt, fixture.clock.now(), Duration::from_secs(1), "later");
    assert_eq!(numbers(&fixture.take(10)), [3]);
    assert_eq!(fixture.counts(), Counts { ready: 1, delayed: 1, in_flight: 3, dead: 0 });
}

#[tokio::test]
async fn a_message_that_waits_for_its_share_stands_for_equal_ones() {
    let fixture = fixture();
    fixture.queue.set_share(Lane::Exec, Share::of_user(1));
    own(&fixture, "ann", 1).await;
    own(&fixture, "ann", 2).await;
    fixture.send(&run(1)).await;
    let first = fixture.take(10);
    for _ in 0..100 {
        fixture.send(&run(2)).await;
        assert_eq!(fixture.take(10), []);
    }
    assert_eq!(fixture.counts(), Counts { ready: 1, in_flight: 1, ..Counts::default() });
    fixture.queue.ack(first[0].receipt);
    assert_eq!(numbers(&fixture.take(10)), [2]);
}

#[tokio::test]
async fn a_message_in_flight_that_becomes_visible_again_takes_no_share_twice() {
    let fixture = fixture();
    fixture.queue.set_share(Lane::Exec, Share::of_user(1));
    own(&fixture, "ann", 1).await;
    fixture.send(&run(1)).await;
    let old = fixture.take(10).remove(0);
    fixture.clock.advance(VISIBILITY);
    let again = fixture.take(10).remove(0);
    fixture.queue.ack(old.receipt);
    assert_eq!(fixture.counts(), Counts { in_flight: 1, ..Counts::default() });
    fixture.queue.ack(again.receipt);
    own(&fixture, "ann", 2).await;
    fixture.send(&run(2)).await;
    assert_eq!(numbers(&fixture.take(10)), [2]);
}
