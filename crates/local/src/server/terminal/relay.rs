//! Passes bytes on between the client of a data channel and the terminal of a job.

use adapters::shell::{Cause, TerminalError, TerminalInput, TerminalOutput};
use domain::JobId;
use handlers::Env;
use ssm::server::{Event, Input, Output};
use tokio::io::AsyncWriteExt;

/// Which side has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Client,
    Command,
}

/// Runs until the client has gone, or the terminal is closed and the client has received all of it.
pub(super) async fn run(
    env: &Env,
    job: JobId,
    mut input: Input,
    mut output: Output,
    keys: TerminalInput,
    screen: TerminalOutput,
) -> Left {
    let closed = tokio::select! {
        () = type_in(&mut input, keys) => None,
        closed = show(screen, &mut output) => closed,
    };
    let Some(closed) = closed else { return Left::Client };
    output.finish(&message(env, job, &closed).await);
    // The session ends once the client has acknowledged all output, or too late.
    while input.next().await.is_some() {}
    match closed {
        TerminalError::Ended(_) => Left::Command,
        TerminalError::Refused(_) | TerminalError::Lost(_) => Left::Client,
    }
}

/// Sends what the terminal of a command that has ended showed last.
pub(super) async fn replay(shown: &[u8], mut input: Input, mut output: Output) {
    if output.write_all(shown).await.is_ok() {
        output.finish("");
        while input.next().await.is_some() {}
    }
}

/// Types what the client sends, until the client has gone.
async fn type_in(input: &mut Input, mut keys: TerminalInput) {
    while let Some(event) = input.next().await {
        let sent = match event {
            Event::Bytes(bytes) => keys.write(&bytes).await,
            Event::Size { cols, rows } => keys.resize(cols, rows).await,
            Event::Closed(_) => return,
        };
        if sent.is_err() {
            // What the terminal has shown until now is still to be sent.
            std::future::pending::<()>().await;
        }
    }
}

/// Sends what the terminal shows, until it is closed; `None` if the client has gone before.
async fn show(mut screen: TerminalOutput, output: &mut Output) -> Option<TerminalError> {
    loop {
        match screen.next().await {
            Ok(bytes) => output.write_all(&bytes).await.ok()?,
            Err(error) => return Some(error),
        }
    }
}

/// What the client is told of the end of the terminal.
async fn message(env: &Env, job: JobId, closed: &TerminalError) -> String {
    match closed {
        TerminalError::Ended(Cause::Interrupted { .. }) => session_end(env, job).await,
        TerminalError::Ended(Cause::TimedOut { .. }) => {
            "the time limit of the command, or the time without a client, is over".to_owned()
        }
        TerminalError::Ended(Cause::Cancelled { .. }) => "the command was cancelled".to_owned(),
        TerminalError::Ended(Cause::OomKilled) => "the shell's memory limit was hit".to_owned(),
        // The client sees how the command has ended.
        TerminalError::Ended(
            Cause::Exited { .. }
            | Cause::Signalled { .. }
            | Cause::NotFound { .. }
            | Cause::SpawnFailed { .. }
            | Cause::Lost,
        ) => String::new(),
        error @ (TerminalError::Refused(_) | TerminalError::Lost(_)) => error.to_string(),
    }
}

/// Why the session of a job ends.
async fn session_end(env: &Env, job: JobId) -> String {
    let reason = async {
        let job = env.store.job(job).await.ok()??;
        let session = env.store.session(job.value.common().session).await.ok()??;
        session.value.reason()
    };
    match reason.await {
        Some(reason) => format!("the session has ended: {}", reason.name()),
        None => "the session has ended".to_owned(),
    }
}
