//! `doctor`: what this machine can and can't isolate, and what to do about it.

use std::time::Instant;

use serde_json::json;

use super::{Context, run::Errand};
use crate::{
    args::Place,
    client::Client,
    embedded::Embedded,
    failure::{Exit, Failure},
    interrupt::Interrupt,
    moment::fine,
    table::table,
};

mod host;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Something is not to be had; the rest works.
    Less,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    found: String,
    hint: Option<&'static str>,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Less => "less",
            Self::Bad => "bad",
        }
    }
}

impl Check {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Good, found: found.into(), hint: None }
    }

    fn less(what: &'static str, found: impl Into<String>, hint: &'static str) -> Self {
        Self { what, verdict: Verdict::Less, found: found.into(), hint: Some(hint) }
    }

    fn bad(what: &'static str, found: impl Into<String>, hint: &'static str) -> Self {
        Self { what, verdict: Verdict::Bad, found: found.into(), hint: Some(hint) }
    }
}

pub(super) async fn doctor(context: &Context) -> Result<(), Failure> {
    let mut checks = host::checks();
    let spinner = context.screen.spinner("making a shell");
    checks.push(real_shell(context).await);
    drop(spinner);
    tell(context, &checks)?;
    if checks.iter().any(|check| check.verdict == Verdict::Bad) {
        return Err(Failure::new(Exit::Other, "this machine can't isolate shells"));
    }
    Ok(())
}

/// The proof: a shell is made, runs a command and is gone.
async fn real_shell(context: &Context) -> Check {
    const WHAT: &str = "a real shell";
    const HINT: &str = "the lines above say what may be missing; RUST_LOG=debug says more";
    let begun = Instant::now();
    match one_shell(context).await {
        Ok(0) => Check::good(WHAT, format!("made, used and gone in {}", fine(begun.elapsed()))),
        Ok(code) => Check::bad(WHAT, format!("`true` exited with {code}"), HINT),
        Err(failure) => Check::bad(WHAT, failure.what(), HINT),
    }
}

async fn one_shell(context: &Context) -> Result<u8, Failure> {
    let server = Embedded::start(&Place { runtime: None }).await?;
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
            let Check { what, verdict, found, hint } = check;
            let line = json!({
                "what": what, "verdict": verdict.name(), "found": found, "hint": hint,
            });
            context.screen.line(&line.to_string())
        });
    }
    let rows: Vec<_> = checks
        .iter()
        .map(|check| {
            let hint = check.hint.map(str::to_owned).unwrap_or_default();
            vec![check.what.to_owned(), check.verdict.name().to_owned(), check.found.clone(), hint]
        })
        .collect();
    context.screen.line(&table(&["WHAT", "", "FOUND", "WHAT TO DO"], &rows))
}
