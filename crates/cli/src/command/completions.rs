//! `completions SHELL`: prints a completion script.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use crate::{args::Cli, error::CliError, terminal::Stream};

pub(super) fn completions(context: &Context, shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ephemeral", &mut script);
    context.terminal.bytes(Stream::Stdout, &script)
}
