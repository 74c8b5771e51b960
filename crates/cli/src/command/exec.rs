//! `exec ID -- CMD`: runs a command in a shell and follows its output.

use std::process::ExitCode;

use super::{Context, body, foreground};
use crate::{args::Exec, client::read, error::CliError, interrupt::Interrupt, view::Accepted};

pub(super) async fn exec(context: &Context, args: Exec) -> Result<ExitCode, CliError> {
    let mut interrupt = Interrupt::listen()?;
    let client = context.client()?;
    let mut options = args.command;
    if args.shared.is_some() && options.argv.len() > 1 {
        options.argv = vec![body::line(&options.argv)];
    }
    let mut request = body::command(options)?;
    request.insert("sessionId".into(), args.id.into());
    body::set(&mut request, "env", body::pairs(args.env));
    body::set(&mut request, "concurrency", args.parallel.then_some("parallel"));
    body::set(&mut request, "state", args.shared.as_ref().map(|_| "shared"));
    body::set(&mut request, "shellName", args.shared);
    body::set(&mut request, "background", args.background.then_some(true));
    let response = client.post("/shell/execute", &request.into()).await?;
    let accepted: Accepted = read(&response)?;
    if args.detach {
        context.terminal.result(&response, &accepted.job_id)?;
        return Ok(ExitCode::SUCCESS);
    }
    let finished = foreground::follow(context, &client, &accepted.job_id, &mut interrupt).await?;
    foreground::report(context, &finished)
}
