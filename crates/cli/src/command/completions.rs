//! `completions SHELL`

use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use crate::{args::Cli, failure::Failure, screen::Stream};

pub(super) fn completions(context: &Context, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ephemeral", &mut script);
    context.screen.bytes(Stream::Stdout, &script)
}
