//! The launcher (the subcommand `runtime`) as a program of its own, for the tests of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox::runtime_main(std::env::args_os().skip(2))
}
