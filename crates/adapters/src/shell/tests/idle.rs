//! Tests of idle connections.

use runner::protocol::{Event, Message, PROTOCOL_VERSION};
use tokio::io::AsyncWriteExt;

use super::*;

fn start(keep_idle: Duration) -> Option<Runner> {
    Some(Runner::of(RealRunner::start()?, keep_idle))
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn one_connection_serves_requests_one_after_the_other() {
    let Some(runner) = start(LONG) else { return };
    runner.shell.probe(&task()).await.unwrap();
    for name in ["a", "b"] {
        let (stdout, _, _) = runner.run(name, "echo here").await;
        assert_eq!(stdout, "here\n");
        runner.shell.release(&task(), job_id(name)).await.unwrap();
    }
    assert_eq!(runner.host.opened.load(SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_follows_a_command_is_not_idle() {
    let Some(runner) = start(LONG) else { return };
    let mut attached = runner.attach(job_id("a"), "sleep 600", (0, 0)).await;
    assert_eq!(next(&mut attached).await.unwrap(), CommandEvent::Started);
    runner.shell.cancel(&task(), job_id("a")).await.unwrap();
    let (_, _, end) = finish(attached).await;
    assert_eq!(end.cause, EndCause::Cancelled);
    assert_eq!(runner.host.opened.load(SeqCst), 2);
}

#[tokio::test]
async fn a_connection_dropped_in_the_middle_is_not_used_again() {
    let Some(runner) = start(LONG) else { return };
    let mut attached = runner.attach(job_id("a"), "sleep 600", (0, 0)).await;
    assert_eq!(next(&mut attached).await.unwrap(), CommandEvent::Started);
    drop(attached);
    runner.shell.cancel(&task(), job_id("a")).await.unwrap();
    assert_eq!(runner.host.opened.load(SeqCst), 2);
}

#[tokio::test]
async fn a_dead_idle_connection_is_replaced_without_an_error() {
    let Some(runner) = start(LONG) else { return };
    runner.shell.probe(&task()).await.unwrap();
    // Stands for a connection to a runner that has closed its end.
    let (dead, _) = tokio::io::duplex(1);
    runner.shell.pool.give_back(&task(), Connection::over(Box::new(dead)));
    let (stdout, _, _) = runner.run("a", "echo here").await;
    assert_eq!(stdout, "here\n");
    assert_eq!(runner.host.opened.load(SeqCst), 2);
}

/// Connects to a runner whose answer is written already.
struct AnsweredDial;

#[async_trait]
impl Dial for AnsweredDial {
    async fn open(&self, _: &TaskId) -> Result<Box<dyn Transport>, ShellError> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        let ready = Event::Ready { version: String::new(), protocol: PROTOCOL_VERSION };
        theirs.write_all(&ready.encode().unwrap()).await.unwrap();
        // The runner's end stays open.
        std::mem::forget(theirs);
        Ok(Box::new(ours))
    }

    async fn is_gone(&self, _: &TaskId) -> bool {
        false
    }

    fn memory_kills(&self, _: &TaskId) -> u64 {
        0
    }

    fn proves_unread(&self, _: &io::Error) -> bool {
        false
    }

    fn keep_idle(&self) -> Duration {
        LONG
    }

    async fn offer_terminal(
        &self,
        _: &TaskId,
        _: JobId,
        _: Timestamp,
    ) -> Result<DataChannel, ShellError> {
        Err(ShellError::NotReady)
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_idle_connection_is_replaced_without_an_error() {
    let shell = RunnerShell::new(AnsweredDial, Arc::new(SystemClock));
    let (silent, _other_end) = tokio::io::duplex(1 << 10);
    shell.pool.give_back(&task(), Connection::over(Box::new(silent)));
    shell.probe(&task()).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let Some(runner) = start(Duration::from_millis(1)) else { return };
    runner.shell.probe(&task()).await.unwrap();
    let idle_since = SystemClock.now();
    while SystemClock.now().since(idle_since) < Duration::from_millis(2) {
        tokio::task::yield_now().await;
    }
    runner.shell.probe(&task()).await.unwrap();
    assert_eq!(runner.host.opened.load(SeqCst), 2);
}

#[tokio::test]
async fn idle_connections_are_closed_on_both_sides() {
    let Some(runner) = start(LONG) else { return };
    runner.shell.probe(&task()).await.unwrap();
    let (near, mut far) = tokio::io::duplex(64);
    runner.shell.pool.give_back(&task(), Connection::over(Box::new(near)));
    let peer = async {
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut far, &mut rest).await.unwrap();
        drop(far);
        rest
    };
    let ((), rest) = tokio::join!(runner.shell.close_idle(), peer);
    assert!(rest.is_empty());
    runner.shell.probe(&task()).await.unwrap();
    assert_eq!(runner.host.opened.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_close_is_given_up() {
    let shell = RunnerShell::new(AnsweredDial, Arc::new(SystemClock));
    let (near, _far) = tokio::io::duplex(64);
    shell.pool.give_back(&task(), Connection::over(Box::new(near)));
    shell.close_idle().await;
}
