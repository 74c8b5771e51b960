use domain::SessionId;
use futures::{FutureExt, future::BoxFuture};
use tempfile::{TempDir, tempdir};
use testkit::{SimClock, conformance, session_id};

use super::*;

const HOLD: Duration = Duration::from_secs(30);

struct Made {
    dir: TempDir,
    db: Database,
    queue: SqliteQueue,
    clock: SimClock,
}

fn make() -> Made {
    let dir = tempdir().unwrap();
    let (db, clock) = (Database::open(dir.path()).unwrap(), SimClock::default());
    let queue = SqliteQueue::open(db.clone(), Arc::new(clock.clone())).unwrap();
    Made { dir, db, queue, clock }
}

fn session(number: u32) -> SessionId {
    session_id(&format!("{number:06}"))
}

fn run(number: u32) -> Message {
    Message::RunJob { session: session(number) }
}

impl Made {
    async fn send(&self, message: &Message) {
        self.queue.send(message, Duration::ZERO).await.unwrap();
    }

    fn receive(&self) -> Vec<Received> {
        self.queue.receive(Lane::Exec, self.clock.now(), 10, HOLD)
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

    /// The process ends and another one begins.
    fn restart(self) -> Self {
        let Self { dir, db, queue, clock } = self;
        drop((queue, db));
        let db = Database::open(dir.path()).unwrap();
        let queue = SqliteQueue::open(db.clone(), Arc::new(clock.clone())).unwrap();
        Self { dir, db, queue, clock }
    }
}

#[tokio::test]
async fn it_passes_the_suite() {
    conformance::queue_suite(async || {
        let made = Arc::new(make());
        let (queue, clock) = (made.queue.clone(), made.clock.clone());
        let take = move || -> BoxFuture<'static, Vec<Message>> {
            let mut all = Vec::new();
            for lane in Lane::ALL {
                for received in made.queue.receive(lane, made.clock.now(), usize::MAX, HOLD) {
                    made.queue.ack(received.receipt);
                    all.push(received.message);
                }
            }
            futures::future::ready(all).boxed()
        };
        let hand = clock.clone();
        let pass = move || -> BoxFuture<'static, ()> {
            hand.advance(Duration::from_secs(1));
            futures::future::ready(()).boxed()
        };
        let (take, pass) = (Box::new(take), Box::new(pass));
        let (queue, clock) = (Arc::new(queue), Arc::new(clock));
        conformance::QueueUnderTest { queue, clock, pass, take }
    })
    .await;
}

#[tokio::test]
async fn thousands_of_messages_come_in_order() {
    let made = make();
    for number in 0..5000 {
        made.send(&run(number)).await;
    }
    let mut next = 0;
    loop {
        let batch = made.receive();
        if batch.is_empty() {
            break;
        }
        for received in batch {
            assert_eq!(received.message, run(next));
            made.queue.ack(received.receipt);
            next += 1;
        }
    }
    assert_eq!(next, 5000);
    assert_eq!(made.rows().await, (0, 0));
}

#[tokio::test]
async fn a_message_that_is_not_answered_comes_again() {
    let made = make();
    made.send(&run(1)).await;
    assert_eq!(made.one().attempts, 1);
    made.clock.advance(HOLD - Duration::from_millis(1));
    assert_eq!(made.receive(), []);
    made.clock.advance(Duration::from_millis(1));
    assert_eq!(made.one().attempts, 2);
}

#[tokio::test]
async fn a_late_answer_changes_nothing() {
    let made = make();
    made.send(&run(1)).await;
    let late = made.one().receipt;
    made.clock.advance(HOLD);
    let again = made.one();
    made.queue.ack(late);
    made.queue.nack(late, made.clock.now(), Duration::ZERO, "late");
    assert_eq!(made.counts(), Counts { in_flight: 1, ..Counts::default() });
    made.queue.ack(again.receipt);
    made.queue.ack(again.receipt);
    assert_eq!(made.counts(), Counts::default());
}

#[tokio::test]
async fn a_refused_message_comes_again_after_its_delay() {
    let made = make();
    made.send(&run(1)).await;
    let delay = Duration::from_secs(5);
    made.queue.nack(made.one().receipt, made.clock.now(), delay, "not yet");
    assert_eq!(made.counts(), Counts { delayed: 1, ..Counts::default() });
    assert_eq!(made.queue.next_visible(Lane::Exec), Some(made.clock.now() + delay));
    made.clock.advance(delay);
    assert_eq!(made.one().attempts, 2);
}

#[tokio::test]
async fn a_message_that_is_refused_too_often_is_put_aside_until_it_is_redriven() {
    let made = make();
    made.send(&run(1)).await;
    for _ in 0..MAX_ATTEMPTS {
        made.queue.nack(made.one().receipt, made.clock.now(), Duration::ZERO, "no");
    }
    assert_eq!(made.receive(), []);
    assert_eq!(made.counts(), Counts { dead: 1, ..Counts::default() });
    assert_eq!(made.rows().await, (0, 1));

    let made = made.restart();
    assert_eq!(made.counts(), Counts { dead: 1, ..Counts::default() });
    assert_eq!(made.queue.redrive(Lane::Webhooks).await.unwrap(), 0);
    assert_eq!(made.queue.redrive(Lane::Exec).await.unwrap(), 1);
    assert_eq!(made.one().attempts, 1);
    assert_eq!(made.rows().await, (1, 0));
}

#[tokio::test]
async fn a_message_that_is_never_answered_is_put_aside_too() {
    let made = make();
    made.send(&run(1)).await;
    for _ in 0..MAX_ATTEMPTS {
        made.one();
        made.clock.advance(HOLD);
    }
    assert_eq!(made.receive(), []);
    assert_eq!(made.rows().await, (0, 1));
}

#[tokio::test]
async fn after_a_restart_all_that_was_not_answered_is_there_at_once() {
    let made = make();
    made.send(&run(1)).await;
    made.queue.ack(made.one().receipt);
    made.send(&run(2)).await;
    made.one();
    made.queue.send(&run(3), Duration::from_mins(15)).await.unwrap();
    let made = made.restart();
    let got: Vec<_> = made.receive().into_iter().map(|one| (one.message, one.attempts)).collect();
    assert_eq!(got, [(run(2), 2), (run(3), 1)]);
    assert_eq!(made.receive(), []);
}

#[tokio::test]
async fn a_message_that_kills_the_process_does_not_come_for_ever() {
    let mut made = make();
    made.send(&run(1)).await;
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(made.one().attempts, attempt);
        made.db.flush().await.unwrap();
        made = made.restart();
    }
    assert_eq!(made.receive(), []);
    assert_eq!(made.rows().await, (0, 1));
}

#[tokio::test]
async fn a_message_that_waits_stands_for_others_that_say_the_same() {
    let made = make();
    made.send(&run(1)).await;
    made.send(&run(1)).await;
    let first = made.one();
    // The first is in somebody's hands, who may have looked already: this one is needed.
    made.send(&run(1)).await;
    made.queue.ack(first.receipt);
    made.queue.ack(made.one().receipt);
    assert_eq!(made.receive(), []);
}

#[tokio::test]
async fn a_delayed_message_stands_for_itself_only() {
    let made = make();
    made.queue.send(&run(1), Duration::from_secs(1)).await.unwrap();
    made.send(&run(1)).await;
    made.queue.ack(made.one().receipt);
    made.clock.advance(Duration::from_secs(1));
    made.one();
}

#[tokio::test]
async fn a_clock_that_goes_back_hides_no_message() {
    let made = make();
    made.send(&run(1)).await;
    made.queue.ack(made.one().receipt);
    made.send(&run(2)).await;
    made.clock.set(made.clock.now() - Duration::from_hours(1));
    made.queue.ack(made.one().receipt);
    made.send(&run(3)).await;
    made.one();
}

#[tokio::test]
async fn a_message_wakes_who_waits_for_it_without_the_disk() {
    let made = make();
    let (release, held) = std::sync::mpsc::channel::<()>();
    made.db.later(move |_| {
        held.recv().ok();
        Ok(())
    });
    let mut arrival = Box::pin(made.queue.arrival(Lane::Exec));
    assert!(arrival.as_mut().now_or_never().is_none());
    made.send(&run(1)).await;
    arrival.await;
    made.queue.ack(made.one().receipt);
    release.send(()).unwrap();
    assert_eq!(made.rows().await, (0, 0));
}
