//! `doctor`: what this machine can and can't isolate, and what to do about it.

use std::time::Instant;

use local::sandbox::{self, Check, Verdict};
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
    let fit = |checks: &[Check]| checks.iter().all(|check| check.verdict != Verdict::Fail);
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
    let (verdict, detail) = match one_shell(context, place).await {
        Ok(0) => (Verdict::Ok, format!("made, used and gone in {}", fine(begun.elapsed()))),
        Ok(code) => (Verdict::Fail, format!("`true` exited with {code}")),
        Err(failure) => (Verdict::Fail, failure.what().to_owned()),
    };
    let remedy = match verdict {
        Verdict::Ok | Verdict::Warn => String::new(),
        Verdict::Fail => "RUST_LOG=debug ephemeral run true says more".to_owned(),
    };
    Check { name: "a real shell", verdict, detail, remedy }
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
            let Check { name, verdict, detail, remedy } = check;
            let verdict = word(*verdict);
            let line =
                json!({"name": name, "verdict": verdict, "detail": detail, "remedy": remedy});
            context.screen.line(&line.to_string())
        });
    }
    let cells = |check: &Check| {
        let verdict = word(check.verdict).to_owned();
        vec![check.name.to_owned(), verdict, check.detail.clone(), check.remedy.clone()]
    };
    let rows: Vec<_> = checks.iter().map(cells).collect();
    context.screen.line(&table(&["WHAT", "", "FOUND", "WHAT TO DO"], &rows))
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "less",
        Verdict::Fail => "bad",
    }
}
