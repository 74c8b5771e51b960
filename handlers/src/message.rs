//! The messages of the queues.

use domain::message::Message;

use crate::{
    Env, HandlerError, cancel_job, deliver_webhook, fill_pool, notify_session, observe_task,
    open_terminal, probe_task, run_claimed, run_job, set_deadline, signal_job, start_session,
};

macro_rules! handlers {
    ($($message:ident { $($field:ident),* } => $module:ident, $name:literal;)*) => {
        /// The names of the handlers of messages.
        pub(crate) const HANDLERS: [&str; [$($name),*].len()] = [$($name),*];

        /// The name, in logs and metrics, of the handler of a message.
        pub const fn handler_of(message: &Message) -> &'static str {
            match message {
                $(Message::$message { .. } => $name,)*
            }
        }

        async fn dispatch(env: &Env, message: Message) -> Result<(), HandlerError> {
            match message {
                $(Message::$message { $($field),* } => $module::handle(env, $($field),*).await,)*
            }
        }
    };
}

handlers! {
    StartSession { session } => start_session, "start-session";
    NotifySession { session } => notify_session, "notify-session";
    FillPool {} => fill_pool, "fill-pool";
    RunJob { session } => run_job, "run-job";
    RunClaimed { session, job } => run_claimed, "run-claimed";
    CancelJob { job } => cancel_job, "cancel-job";
    SignalJob { job, signal } => signal_job, "signal-job";
    OpenTerminal { job } => open_terminal, "open-terminal";
    SetDeadline { session } => set_deadline, "set-deadline";
    TaskEvent { facts } => observe_task, "observe-task";
    ProbeTask { facts } => probe_task, "probe-task";
    DeliverWebhook { delivery } => deliver_webhook, "deliver-webhook";
}

/// Handles a message. On an error the message must be delivered again, unless the error's code is
/// [`Code::BadInput`](crate::Code::BadInput).
pub async fn handle(env: &Env, message: Message) -> Result<(), HandlerError> {
    crate::run(handler_of(&message), dispatch(env, message)).await
}
