//! `ephemeral`: the server on one machine, and the commands that talk to any server.

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

mod args;
mod client;
mod command;
mod embedded;
mod error;
mod find_server;
mod follow;
mod interrupt;
mod raw_terminal;
mod sse;
mod table;
mod terminal;
mod time_format;
mod timeline;
mod view;

fn main() -> ExitCode {
    // The runtime subcommand forks, so it must run before any thread is created.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "runtime") {
        return local::sandbox::runtime_main(arguments);
    }
    let cli = args::Cli::parse();
    let is_server = matches!(cli.command, args::Command::Up(_));
    let runtime = runtime(&cli.command).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(command::execute(cli));
            if !is_server {
                // A client does not wait for a thread that writes to a pipe that nobody reads.
                runtime.shutdown_background();
            }
            result
        }
        Err(error) => Err(error::CliError::chain("can't start threads", &error)),
    };
    result.unwrap_or_else(|error| {
        if error.has_message() {
            terminal::Terminal::new(false).message(&error.to_string());
        }
        ExitCode::from(error.exit() as u8)
    })
}

/// A terminal is shown by one thread: otherwise a key, and what the shell shows of it, wake another one each.
fn runtime(command: &args::Command) -> Builder {
    if matches!(command, args::Command::Attach(_)) {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    }
}
