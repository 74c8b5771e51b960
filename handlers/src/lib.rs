//! What ephemeral does: one file per handler, and the HTTP API.
//!
//! There are four entrances. [`Step::run`] serves the states of the state machine, [`handle`] the
//! messages of the queues, [`sweep`] the schedule, and [`http::router`] the API. The tables in
//! `step.rs` and `message.rs` list the handlers.
//!
//! A handler reads a record, decides by the rules of the domain, writes what it intends, acts, and
//! writes the result. Every handler is safe to repeat. No handler sees the envelope that a call came
//! in: the caller unwraps it.

use domain::{JobId, SessionId, TaskId, ports::Report};
use tracing::Instrument;

pub mod env;
pub mod error;
pub mod http;
pub mod permissions;

mod await_end;
mod await_running;
mod cancel_job;
mod close_session;
mod deliver_webhook;
mod fill_pool;
mod inspect_session;
mod notify_session;
mod observe_task;
mod open_terminal;
mod probe_task;
mod provision_task;
mod run_claimed;
mod run_job;
mod set_deadline;
mod signal_job;
mod start_session;
mod stop_task;
mod sweep;

mod message;
mod next;
mod notification;
mod outbox;
mod published_event;
mod reconcile;
mod start_files;
mod step;
mod tally;
mod task;
mod transition;
mod view;
mod waiter;
mod warm_task;
mod webhook_signature;

pub use env::{Env, MaxSize, Policy};
pub use error::{Code, HandlerError};
pub use message::{handle, handler_of};
pub use open_terminal::{terminal_attached, terminal_detached};
pub use published_event::published_event;
pub use run_job::{Claim, ClaimedJob, Claims, Recorded};
pub use step::{Step, UnknownStepError};
pub use sweep::Swept;
pub use webhook_signature::{InvalidKeyError, new_webhook_key, sign_webhook};

/// The name of the handler behind [`sweep`], in deployments, logs and metrics.
pub const SWEEP: &str = "sweep";

/// Handles every record that is due. The schedule calls this once a minute.
pub async fn sweep(env: &Env) -> Result<Swept, HandlerError> {
    run(SWEEP, sweep::handle(env)).await
}

/// Claims the next job of a session, for a worker that follows it apart from the queue's messages. Handles
/// the message `RunJob` together with [`ClaimedJob::follow`].
pub async fn claim_job(env: &Env, session: SessionId) -> Result<Claim, HandlerError> {
    run("claim-job", run_job::claim_job(env, session)).await
}

/// Records what the runner of this task reports of a command by itself. The runner repeats what it is not
/// told to be stored.
///
/// # Errors
/// The records can't be read or written. The runner sends the report again.
pub async fn record_report(
    env: &Env,
    task: &TaskId,
    report: Report,
) -> Result<Recorded, HandlerError> {
    run("record-report", run_job::record_report(env, task, report)).await
}

/// Handles that the runner of this task has connected and can be sent requests: the session is ready, and
/// commands that the runner does not know (it names those that it does) are sent again.
///
/// # Errors
/// The task or the records can't be read or written. The runner connects again some time.
pub async fn runner_connected(
    env: &Env,
    task: &TaskId,
    known: &[JobId],
) -> Result<(), HandlerError> {
    run("runner-connected", run_job::runner_connected(env, task, known)).await
}

/// The names of all handlers, in deployments, logs and metrics.
pub fn names() -> impl Iterator<Item = &'static str> {
    let steps = Step::ALL.into_iter().map(Step::name);
    steps.chain(message::HANDLERS).chain([SWEEP])
}

/// Runs a handler in a span of its name, and logs a failure: no caller needs to log it again.
async fn run<T>(
    name: &'static str,
    handler: impl Future<Output = Result<T, HandlerError>>,
) -> Result<T, HandlerError> {
    let span = tracing::info_span!("handler", name);
    async { handler.await.inspect_err(|error| error.log(name)) }.instrument(span).await
}

#[cfg(test)]
mod tests;
