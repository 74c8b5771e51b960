//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;

mod server;
mod value;

pub(crate) use server::{Place, Sandbox, Token, Up};
pub(crate) use value::{Pair, Span};
use value::{pair, span};

const EXAMPLES: &str = "\
Examples:
  ephemeral run -- python3 -c 'print(6 * 7)'     one command in a shell of its own
  ephemeral run 'ls / | wc -l'                   one argument is a line for sh
  ephemeral up                                   the server, on 127.0.0.1:8787
  ID=$(ephemeral start --ttl 10m)                a shell that stays for ten minutes
  ephemeral exec $ID -- make test                run in it; exits with the command's code
  ephemeral stop $ID

Exit codes: run and exec exit with the command's own, 128+n after signal n, 124 timed out,
125 could not be run, 127 not found. Else: 0 done, 1 failed, 2 usage, 3 not found or ended,
4 not allowed, 5 server not reached.";

/// Disposable shells: start one, run commands in it, read the results, and be sure that it is gone.
#[derive(Debug, Parser)]
#[command(name = "ephemeral", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Server to talk to; found by itself on the same machine.
    #[arg(long, global = true, env = "EPHEMERAL_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Where the server on this machine keeps its data.
    #[arg(long, global = true, env = "EPHEMERAL_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON: one object, or one a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server on this machine.
    Up(Up),
    /// Start a shell, run one command in it, print what it says, stop the shell.
    ///
    /// Uses the server it finds, else one of its own that is gone afterwards.
    Run(Run),
    /// Start a shell and print its id.
    Start(Start),
    /// Run a command in a shell.
    Exec(Exec),
    /// Stop a shell and wait until it is gone.
    Stop(Stop),
    /// List shells.
    Ls(Ls),
    /// Show all about a shell (sh_…) or a job (job_…).
    Show {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Print the output of a job.
    Logs(Logs),
    /// Print the timeline of a shell.
    Events(Events),
    /// Let a shell live longer.
    Extend(Extend),
    /// Cancel a job.
    Cancel {
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Manage who may use the server on this machine.
    #[command(subcommand)]
    Token(Token),
    /// Say what this machine can and can't isolate, and what to do about it.
    Doctor(Place),
    /// Print the completions of a shell such as bash.
    Completions { shell: Shell },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ephemeral run -- python3 -c 'print(6 * 7)'
  ephemeral run --timeline 'id; uname -r'
  ephemeral run --stdin 'sort | uniq -c' < words.txt
  ephemeral run --cpu 1024 --memory 2048 --timeout 1h -- make")]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) wish: Wish,
    #[command(flatten)]
    pub(crate) how: How,
    /// Print the session's timeline afterwards, on standard error.
    #[arg(long)]
    pub(crate) timeline: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ID=$(ephemeral start)
  ephemeral start --ttl 8h --idle 15m --metadata course=algebra
  ephemeral start --webhook https://example.com/hook --no-wait")]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) wish: Wish,
    /// How long it may have nothing to do, such as 15m.
    #[arg(long, value_parser = span, value_name = "TIME")]
    pub(crate) idle: Option<Span>,
    /// A note of yours on it.
    #[arg(long, value_parser = pair, value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<Pair>,
    /// Where to send its events.
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// At the quota, wait in line instead of being refused.
    #[arg(long)]
    pub(crate) queue: bool,
    /// Print the id at once; commands may be sent before it is ready.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// What a shell should be like.
#[derive(Debug, Args)]
pub(crate) struct Wish {
    /// Name of the server's image; for a `run` without a server, an image file as `up` takes it.
    #[arg(long, value_name = "NAME")]
    pub(crate) image: Option<String>,
    /// CPU in units of 1/1024 core: 256, 512, 1024, 2048, 4096.
    #[arg(long, value_name = "UNITS", requires = "memory")]
    pub(crate) cpu: Option<u32>,
    /// Memory in MiB.
    #[arg(long, value_name = "MIB", requires = "cpu")]
    pub(crate) memory: Option<u32>,
    /// How long it lives, such as 90s, 10m, 2h.
    #[arg(long, value_parser = span, value_name = "TIME")]
    pub(crate) ttl: Option<Span>,
    /// A variable of every command in it.
    #[arg(long = "env", short = 'e', value_parser = pair, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<Pair>,
    /// What it can reach.
    #[arg(long, value_enum)]
    pub(crate) network: Option<Network>,
    /// Cheaper capacity that can be taken back.
    #[arg(long)]
    pub(crate) spot: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    None,
    Egress,
}

/// How a command is run.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Working directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// User of the image; never root.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// How long it may run, such as 90s, 10m, 2h.
    #[arg(long, value_parser = span, value_name = "TIME")]
    pub(crate) timeout: Option<Span>,
    /// Bytes kept of stdout, and of stderr.
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u64).range(1..))]
    pub(crate) max_output: Option<u64>,
    /// Hand our standard input to it, up to 128 KiB of UTF-8.
    #[arg(long)]
    pub(crate) stdin: bool,
    /// One argument is a line for `sh -c`; several are a program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ephemeral exec sh_01J… -- make test
  ephemeral exec sh_01J… 'grep -c x < /tmp/a'
  JOB=$(ephemeral exec --detach sh_01J… -- sleep 60)")]
pub(crate) struct Exec {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Don't wait for the commands before it.
    #[arg(long)]
    pub(crate) parallel: bool,
    /// A variable of this command.
    #[arg(long = "env", short = 'e', value_parser = pair, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<Pair>,
    /// Print the job's id and don't wait.
    #[arg(long, short)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Let the jobs that are queued finish first.
    #[arg(long)]
    pub(crate) drain: bool,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Don't wait until it is gone.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Also those that have ended.
    #[arg(long, short, conflicts_with = "status")]
    pub(crate) all: bool,
    /// Only those with this status.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    /// Go on until the job has ended.
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Go on until the shell is gone.
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("when").required(true))]
pub(crate) struct Extend {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// To live this long from now, such as 30m.
    #[arg(long, value_parser = span, value_name = "TIME", group = "when")]
    pub(crate) ttl: Option<Span>,
    /// To live until then (RFC 3339).
    #[arg(long, value_name = "WHEN", group = "when")]
    pub(crate) until: Option<String>,
    /// Also if that is earlier than now set.
    #[arg(long)]
    pub(crate) allow_shorten: bool,
}

#[cfg(test)]
mod tests;
