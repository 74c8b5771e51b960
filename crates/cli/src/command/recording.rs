//! `recording JOB [-o FILE]`: prints the recording of a terminal.

use super::Context;
use crate::{
    args::Recording,
    error::{CliError, Exit},
    terminal::Stream,
};

pub(super) async fn recording(context: &Context, args: Recording) -> Result<(), CliError> {
    let lines = context.client()?.bytes(&format!("/jobs/{}/recording", args.job)).await?;
    let Some(path) = args.output else { return context.terminal.bytes(Stream::Stdout, &lines) };
    std::fs::write(&path, lines).map_err(|error| {
        CliError::new(Exit::Other, format!("can't write {}: {error}", path.display()))
    })
}
