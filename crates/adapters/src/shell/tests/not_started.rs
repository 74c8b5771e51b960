//! Starts that certainly did not reach a runner, and others.

use tokio::{io::AsyncReadExt, net::UnixListener};

use super::*;

#[tokio::test]
async fn a_start_that_reaches_no_runner_has_certainly_not_started_the_command() {
    let Some(runner) = Runner::start() else { return };
    runner.host.runner.lock().kill();
    for gone in [false, true] {
        runner.host.gone.store(gone, SeqCst);
        let (task, env) = (task(), BTreeMap::new());
        let started = runner.shell.start(&task, job_id("a"), &command("true"), &env, (0, 0)).await;
        let expected =
            matches!(started, Err(ShellError::NotStarted { gone: found }) if found == gone);
        assert!(expected, "{:?}", started.err());
    }
}

/// Listens in place of a runner, and closes each connection: unread, or after it was read.
async fn start_at(reads: bool) -> ShellError {
    let real = RealRunner::start().unwrap();
    let runner = Runner::of(real, Duration::ZERO);
    runner.host.runner.lock().kill();
    let path = runner.host.dir.join("runner.sock");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(path).unwrap();
    let (task, env) = (task(), BTreeMap::new());
    let command = command("true");
    let (started, accepted) = tokio::join!(
        runner.shell.start(&task, job_id("a"), &command, &env, (0, 0)),
        listener.accept()
    );
    let (mut attached, (mut connection, _)) =
        (started.unwrap().attached().unwrap(), accepted.unwrap());
    if reads {
        let mut bytes = [0; 1 << 16];
        assert!(connection.read(&mut bytes).await.unwrap() > 0);
    }
    drop(connection);
    next(&mut attached).await.unwrap_err()
}

#[tokio::test]
async fn only_a_start_that_was_not_read_has_certainly_not_started_the_command() {
    if RealRunner::start().is_none() {
        return;
    }
    assert!(matches!(start_at(false).await, ShellError::NotStarted { gone: false }));
    assert!(matches!(start_at(true).await, ShellError::NotReady));
}
