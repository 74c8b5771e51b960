//! `doctor`: reports what this machine can isolate, and how to fix what it can't.

use std::time::Instant;

use local::sandbox::{self, Check, CheckStatus};
use serde_json::json;

use super::{Context, run::OneCommand};
use crate::{
    args::Doctor,
    client::Client,
    embedded::{self, Embedded},
    error::{CliError, Exit},
    find_server,
    interrupt::Interrupt,
    table::table,
    time_format::fine,
};

pub(super) async fn doctor(context: &Context, args: &Doctor) -> Result<(), CliError> {
    let spinner = context.terminal.spinner("checking");
    let config = config(context, args)?;
    let mut checks = sandbox::doctor(&config);
    let fit = |checks: &[Check]| checks.iter().all(|check| check.status != CheckStatus::Fail);
    if fit(&checks) {
        spinner.set_message("starting a shell");
        checks.push(real_shell(context, args).await);
    }
    let can_make_shells = fit(&checks);
    if can_make_shells && args.hostile {
        spinner.set_message("starting two shells");
        // A running server uses the directory of the data.
        let dir = tempfile::Builder::new().prefix("ephemeral-").tempdir();
        let dir = dir.map_err(|error| CliError::chain("can't create a directory", &error))?;
        let config = sandbox::Config { root: dir.path().to_owned(), ..config };
        checks.extend(sandbox::doctor_hostile(&config));
    }
    drop(spinner);
    print(context, &checks)?;
    if !can_make_shells {
        Err(CliError::new(Exit::Other, "this machine can't make shells"))
    } else if !fit(&checks) {
        Err(CliError::new(Exit::Other, "no: code of hostile users may do harm in these shells"))
    } else {
        if args.hostile {
            context.terminal.note("yes: code of hostile users may run in these shells");
        }
        Ok(())
    }
}

fn config(context: &Context, args: &Doctor) -> Result<sandbox::Config, CliError> {
    let local::config::Sandbox { exe, runtime, image, uid_range, allow_root } =
        embedded::sandbox(&args.isolation, args.image.clone())?;
    let root = find_server::data_dir(&context.global).join("sandboxes");
    let budget = sandbox::Budget::of_host(&root)
        .map_err(|error| CliError::chain("can't read the limits of this machine", &error))?;
    Ok(sandbox::Config {
        root,
        exe,
        runtime,
        image,
        grace: std::time::Duration::ZERO,
        uid_range,
        allow_root,
        egress: embedded::egress(args.network),
        prepare: None,
        budget,
        end_with_driver: false,
    })
}

/// Starts a shell, runs a command in it and stops it.
async fn real_shell(context: &Context, args: &Doctor) -> Check {
    let started = Instant::now();
    let (status, detail) = match one_shell(context, args).await {
        Ok(0) => {
            (CheckStatus::Ok, format!("started, used and stopped in {}", fine(started.elapsed())))
        }
        Ok(code) => (CheckStatus::Fail, format!("`true` exited with {code}")),
        Err(error) => (CheckStatus::Fail, error.message().to_owned()),
    };
    let remedy = match status {
        CheckStatus::Ok | CheckStatus::Warn => String::new(),
        CheckStatus::Fail => "see the log: RUST_LOG=debug ephemeral run true".to_owned(),
    };
    Check { name: "a real shell", status, detail, remedy }
}

async fn one_shell(context: &Context, args: &Doctor) -> Result<u8, CliError> {
    let server = Embedded::start(&args.isolation, args.image.clone()).await?;
    let result = async {
        let client = Client::new(server.address()?)?;
        OneCommand::new("true").run(context, &client, &mut Interrupt::listen()?).await
    }
    .await;
    server.stop().await?;
    result?.exit()
}

fn print(context: &Context, checks: &[Check]) -> Result<(), CliError> {
    if context.terminal.json {
        return checks.iter().try_for_each(|check| {
            let Check { name, status, detail, remedy } = check;
            let verdict = status_name(*status);
            let line =
                json!({"name": name, "verdict": verdict, "detail": detail, "remedy": remedy});
            context.terminal.json(&line)
        });
    }
    let cells = |check: &Check| {
        let verdict = status_name(check.status).to_owned();
        vec![check.name.to_owned(), verdict, check.detail.clone(), check.remedy.clone()]
    };
    let rows: Vec<_> = checks.iter().map(cells).collect();
    context.terminal.line(&table(&["WHAT", "", "FOUND", "WHAT TO DO"], &rows))
}

const fn status_name(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Ok => "ok",
        CheckStatus::Warn => "less",
        CheckStatus::Fail => "bad",
    }
}
