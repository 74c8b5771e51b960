//! The subcommand `runtime` alone: what tests and benches of this crate launch sandboxes with.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox::runtime_main(std::env::args_os().skip(2))
}
