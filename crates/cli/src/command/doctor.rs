//! `doctor`: what this machine can and can't isolate, and what to do about it.

use std::time::Instant;

use local::sandbox::{self, Check, CheckStatus};
use serde_json::json;

use super::{Context, run::Errand};
use crate::{
    args::Place,
    client::Client,
    embedded::{self, Embedded},
    failure::{Exit, Failure},
    find,
    interrupt::Interrupt,
    moment::fine,
    table::table,
};

pub(super) async fn doctor(context: &Context, place: &Place) -> Result<(), Failure> {
    let spinner = context.screen.spinner("looking");
    let mut checks = sandbox::doctor(&config(context, place)?);
    let fit = |checks: &[Check]| checks.iter().all(|check| check.status != CheckStatus::Fail);
    if fit(&checks) {
        spinner.say("making a shell");
        checks.push(real_shell(context, place).await);
    }
    drop(spinner);
    tell(context, &checks)?;
    if fit(&checks) {
        Ok(())
    } else {
        Err(Failure::new(Exit::Other, "this machine can't make shells"))
    }
}

fn config(context: &Context, place: &Place) -> Result<sandbox::Config, Failure> {
    let local::config::Sandbox { exe, runtime, image } = embedded::sandbox(place, None)?;
    let root = find::data_dir(&context.global).join("sandboxes");
    Ok(sandbox::Config { root, exe, runtime, image, grace: std::time::Duration::ZERO })
}

/// The proof: a shell is made, runs a command and is gone.
async fn real_shell(context: &Context, place: &Place) -> Check {
    let begun = Instant::now();
    let (status, detail) = match one_shell(context, place).await {
        Ok(0) => (CheckStatus::Ok, format!("made, used and gone in {}", fine(begun.elapsed()))),
        Ok(code) => (CheckStatus::Fail, format!("`true` exited with {code}")),
        Err(failure) => (CheckStatus::Fail, failure.what().to_owned()),
    };
    let remedy = match status {
        CheckStatus::Ok | CheckStatus::Warn => String::new(),
        CheckStatus::Fail => "RUST_LOG=debug ephemeral run true says more".to_owned(),
    };
    Check { name: "a real shell", status, detail, remedy }
}

async fn one_shell(context: &Context, place: &Place) -> Result<u8, Failure> {
    let server = Embedded::start(place, None).await?;
    let done = async {
        let client = Client::new(server.address()?)?;
        Errand::of("true").run(context, &client, &mut Interrupt::listen()?).await
    }
    .await;
    server.stop().await?;
    done?.exit()
}

fn tell(context: &Context, checks: &[Check]) -> Result<(), Failure> {
    if context.screen.json {
        return checks.iter().try_for_each(|check| {
            let Check { name, status, detail, remedy } = check;
            let verdict = word(*status);
            let line =
                json!({"name": name, "verdict": verdict, "detail": detail, "remedy": remedy});
            context.screen.line(&line.to_string())
        });
    }
    let cells = |check: &Check| {
        let verdict = word(check.status).to_owned();
        vec![check.name.to_owned(), verdict, check.detail.clone(), check.remedy.clone()]
    };
    let rows: Vec<_> = checks.iter().map(cells).collect();
    context.screen.line(&table(&["WHAT", "", "FOUND", "WHAT TO DO"], &rows))
}

const fn word(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Ok => "ok",
        CheckStatus::Warn => "less",
        CheckStatus::Fail => "bad",
    }
}
