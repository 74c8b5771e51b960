//! `attach ID [-- CMD]`: shows a terminal of a shell in our own terminal.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::{
    Context, body,
    foreground::{self, FinishedJob},
};
use crate::{
    args::Attach,
    client::{Client, read},
    error::{CliError, Exit},
    interrupt::Interrupt,
    raw_terminal,
    view::Accepted,
};

mod channels;
mod keyboard;
mod screen;

use screen::{Left, Screen};

/// The largest width, and height, that the server accepts. Characters.
const MAX_SIDE: u16 = 1000;

pub(super) async fn attach(context: &Context, args: Attach) -> Result<ExitCode, CliError> {
    let mut interrupt = Interrupt::listen()?;
    let client = context.client()?;
    let job = job(&client, args).await?;
    let mut screen = Screen::new(context, &client, &job, true);
    match screen.show(&mut interrupt).await? {
        Left::Closed => {
            let job: Value = foreground::wait_for_end(&client, &job).await?;
            foreground::report(context, &FinishedJob::new(job))
        }
        Left::Detached => {
            context.terminal.note(&format!("detached; `ephemeral attach {job}` shows it again"));
            Ok(ExitCode::SUCCESS)
        }
        Left::Ended(signal) => Ok(ExitCode::from(signal.exit())),
    }
}

/// Shows the terminal of the only command of a shell until it has ended. A signal cancels the command.
pub(super) async fn run(
    context: &Context,
    client: &Client,
    job: &str,
    interrupt: &mut Interrupt,
) -> Result<FinishedJob, CliError> {
    let mut screen = Screen::new(context, client, job, false);
    let cancelled_by = match screen.show(interrupt).await? {
        Left::Closed | Left::Detached => None,
        Left::Ended(signal) => {
            client.post_idempotent(&format!("/jobs/{job}/cancel"), &json!({})).await?;
            Some(signal)
        }
    };
    let job = foreground::wait_for_end(client, job).await?;
    Ok(FinishedJob { cancelled_by, ..FinishedJob::new(job) })
}

/// Sets the fields of a request for a terminal that has the size of ours.
pub(super) fn set_size(request: &mut Map<String, Value>) {
    if let Some((cols, rows)) = raw_terminal::size() {
        body::set(request, "cols", Some(cols.min(MAX_SIDE)));
        body::set(request, "rows", Some(rows.min(MAX_SIDE)));
    }
}

/// The job whose terminal is to be shown: a new one in a shell, or one that runs already.
async fn job(client: &Client, args: Attach) -> Result<String, CliError> {
    let Attach { id, cwd, user, env, idle, record, argv } = args;
    if id.starts_with("job_") {
        if !argv.is_empty() || record {
            let message = "a terminal that runs already takes neither a command nor --record";
            return Err(CliError::new(Exit::Usage, message).hint("give the id of a shell"));
        }
        channels::permit(client, &id).await?;
        return Ok(id);
    }
    let mut request = Map::new();
    set_size(&mut request);
    body::set(&mut request, "cwd", cwd);
    body::set(&mut request, "user", user);
    body::set(&mut request, "env", body::pairs(env));
    body::set(&mut request, "idleSeconds", idle.map(|idle| idle.0));
    body::set(&mut request, "record", record.then_some(true));
    match argv.as_slice() {
        [] => {}
        [line] => body::set(&mut request, "command", Some(line.clone())),
        _ => body::set(&mut request, "command", Some(argv)),
    }
    let accepted = client.post(&format!("/sessions/{id}/terminal"), &request.into()).await?;
    Ok(read::<Accepted>(&accepted)?.job_id)
}
