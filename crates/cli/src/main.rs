//! `ephemeral`: the server on one machine, and the commands that talk to any server.

use std::process::ExitCode;

use clap::Parser;

mod args;
mod client;
mod command;
mod embedded;
mod failure;
mod find;
mod follow;
mod interrupt;
mod moment;
mod screen;
mod sse;
mod table;
mod timeline;
mod view;

fn main() -> ExitCode {
    // This forks, so it must come before anything that makes a thread.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "runtime") {
        return local::sandbox::runtime_main(words);
    }
    let cli = args::Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(command::carry_out(cli)),
        Err(error) => Err(failure::Failure::chain("can't start threads", &error)),
    };
    done.unwrap_or_else(|failure| {
        if failure.has_words() {
            screen::Screen::new(false).tell(&failure.to_string());
        }
        ExitCode::from(failure.exit() as u8)
    })
}
