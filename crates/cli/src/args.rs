//! The definition of the command line for clap.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;

mod server;
mod value;

pub(crate) use server::{Isolation, Reach, Root, Sandbox, Token, Up};
pub(crate) use value::{File, Keep, Pair, Seconds, ShellName};
use value::{file, pair, seconds};

const EXAMPLES: &str = "\
Examples:
  ephemeral run -- python3 -c 'print(6 * 7)'     one command in a new shell
  ephemeral run 'ls / | wc -l'                   one argument is a shell command line
  ephemeral up                                   start the server on 127.0.0.1:8787
  ID=$(ephemeral start --ttl 10m)                a shell with a TTL of ten minutes
  ephemeral exec $ID -- make test                run a command in it; exits with its exit code
  ephemeral stop $ID

Exit codes: run and exec exit with the exit code of the command, 128+n if signal n ended it, 124 if it
timed out, 125 if it could not be run, 126 if it can't be executed, 127 if it was not found. All commands: 0 success, 1 error,
2 usage error, 3 not found or already ended, 4 not allowed, 5 server not reachable.

Signals: Ctrl-C in run and exec sends SIGINT to the command, whose output is printed to its end; a second
Ctrl-C cancels the job. SIGTERM, SIGHUP and SIGQUIT cancel the job and exit with 143, 129 and 131; a reader
that closes the pipe of standard output cancels it and exits with 141. run stops its shell in each case.";

/// Disposable shells: start one, run commands in it, read the results, and rely on its removal.
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
    /// URL of the server; a server on the same machine is found without it. Only https uses a proxy.
    #[arg(long, global = true, env = "EPHEMERAL_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Data directory of the server on this machine.
    #[arg(long, global = true, env = "EPHEMERAL_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON: one object, or one object per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server on this machine.
    Up(Up),
    /// Start a shell, run one command in it, print its output, and stop the shell.
    ///
    /// Uses a running server if there is one, else a temporary server in this process.
    Run(Run),
    /// Start a shell and print its id.
    Start(Start),
    /// Run a command in a shell, print its output, and exit with its exit code.
    ///
    /// If the server stops responding, the output continues after its restart within ten seconds.
    Exec(Exec),
    /// Open a terminal in a shell (sh_…), or the terminal of a job (job_…) again.
    ///
    /// Ctrl-] detaches: the command runs on, and `attach JOB` shows its screen again. Exits with the exit
    /// code of the command.
    Attach(Attach),
    /// Copy a file or a directory to or from a shell.
    ///
    /// A copy that breaks off leaves the old file as it was.
    Cp(Cp),
    /// Stop a shell and wait until it is gone.
    Stop(Stop),
    /// List shells.
    Ls(Ls),
    /// Show the details of a shell (sh_…) or a job (job_…).
    Show {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Print the output of a job.
    Logs(Logs),
    /// Print the recording of a terminal that was opened with `attach --record`, for players of asciicasts.
    Recording(Recording),
    /// Print the timeline of a shell, or the events of all your shells.
    Events(Events),
    /// Move the end of a shell to a later time.
    Extend(Extend),
    /// Cancel a job.
    Cancel {
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// List what the commands of a shell run, background processes included.
    Ps {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Send a signal to processes of a shell: TERM, or that of `-s`.
    Kill(Kill),
    /// Serve the tools of MCP on standard input and output, for agents: commands and files in a shell.
    ///
    /// The client has a shell of its own with these options, which starts when a tool first needs it and is
    /// stopped at the end of input, or by SIGTERM, SIGHUP, SIGINT or SIGQUIT.
    Mcp(Mcp),
    /// Print a link that signs a browser in to the console of the server, once, within ten minutes.
    Console,
    /// Manage the users of the server on this machine.
    #[command(subcommand)]
    Token(Token),
    /// Report what this machine can isolate, and how to fix what it can't.
    Doctor(Doctor),
    /// Print the completion script for a shell such as bash.
    Completions { shell: Shell },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ephemeral run -- python3 -c 'print(6 * 7)'
  ephemeral run --timeline 'id; uname -r'
  ephemeral run --stdin 'sort | uniq -c' < words.txt
  ephemeral run --file main.py:main.py -- python3 main.py
  ephemeral run -it -- bash                          on a terminal
  ephemeral run --cpu 1024 --memory 2048 --timeout 1h -- make")]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) shell: ShellOptions,
    #[command(flatten)]
    pub(crate) command: CommandOptions,
    /// Run the command on a terminal, and show that in ours.
    #[arg(long, short, conflicts_with_all = ["stdin", "max_output", "keep", "merge"])]
    pub(crate) tty: bool,
    /// The same as --tty: the input of a terminal is always open.
    #[arg(long, short, conflicts_with_all = ["stdin", "max_output", "keep", "merge"])]
    pub(crate) interactive: bool,
    /// Print the session's timeline afterwards, on standard error.
    #[arg(long)]
    pub(crate) timeline: bool,
    #[command(flatten)]
    pub(crate) files: FileOptions,
    #[command(flatten)]
    pub(crate) isolation: Isolation,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ID=$(ephemeral start)
  ephemeral start --ttl 8h --idle 15m --metadata course=algebra
  ephemeral start --file config.toml:.config/app.toml --file run.sh:bin/run.sh
  ephemeral start --webhook https://example.com/hook --no-wait")]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) shell: ShellOptions,
    /// Stop the shell after this time without a command, such as 15m.
    #[arg(long, value_parser = seconds, value_name = "TIME")]
    pub(crate) idle: Option<Seconds>,
    /// Metadata to store with the shell.
    #[arg(long, value_parser = pair, value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<Pair>,
    /// Webhook endpoint for its events.
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// Wait for a slot at the quota instead of being refused.
    #[arg(long)]
    pub(crate) queue: bool,
    #[command(flatten)]
    pub(crate) files: FileOptions,
    /// Print the id at once; commands may be sent before the shell is ready.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Files of a new shell.
#[derive(Debug, Args)]
pub(crate) struct FileOptions {
    /// Copy a small file into the shell before its first command; 64 KiB in all. Paths in the shell count from
    /// the home directory.
    #[arg(long = "file", value_parser = file, value_name = "LOCAL:PATH")]
    pub(crate) files: Vec<File>,
}

/// Options of a new shell.
#[derive(Debug, Args)]
pub(crate) struct ShellOptions {
    /// Name of an image of the server; for `run` without a server, an image file as for `up --image`.
    #[arg(long, value_name = "NAME")]
    pub(crate) image: Option<String>,
    /// CPU in units of 1/1024 core: 256, 512, 1024, 2048, 4096.
    #[arg(long, value_name = "UNITS", requires = "memory")]
    pub(crate) cpu: Option<u32>,
    /// Memory in MiB.
    #[arg(long, value_name = "MIB", requires = "cpu")]
    pub(crate) memory: Option<u32>,
    /// Disk in MiB for /tmp, the home directory and what is written to the image.
    #[arg(long, value_name = "MIB")]
    pub(crate) disk: Option<u32>,
    /// TTL of the shell, such as 90s, 10m, 2h.
    #[arg(long, value_parser = seconds, value_name = "TIME")]
    pub(crate) ttl: Option<Seconds>,
    /// Environment variable of every command in the shell.
    #[arg(long = "env", short = 'e', value_parser = pair, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<Pair>,
    /// Network access of the shell.
    #[arg(long, value_enum)]
    pub(crate) network: Option<Network>,
    /// Use cheaper capacity that the provider may reclaim.
    #[arg(long)]
    pub(crate) spot: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    None,
    Egress,
}

/// Options of a command.
#[derive(Debug, Args)]
pub(crate) struct CommandOptions {
    /// Working directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// User in the image; root only if the server allows it.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Timeout of the command, such as 90s, 10m, 2h.
    #[arg(long, value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: Option<Seconds>,
    /// Number of bytes to keep of each of stdout and stderr; a message reports output that was cut.
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u64).range(1..))]
    pub(crate) max_output: Option<u64>,
    /// Which part of longer output to keep: its beginning, its end, or half of the bytes from each.
    #[arg(long, value_enum, value_name = "PART")]
    pub(crate) keep: Option<Keep>,
    /// Print stderr where stdout is printed, in the order of the writes, as by 2>&1.
    #[arg(long)]
    pub(crate) merge: bool,
    /// Shell of a command line; by default bash where the image has it, else sh.
    #[arg(long = "shell", value_enum, value_name = "NAME")]
    pub(crate) shell_name: Option<ShellName>,
    /// Pass our standard input to the command, up to 128 KiB of UTF-8.
    #[arg(long)]
    pub(crate) stdin: bool,
    /// One argument is a command line for a shell; several are a program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub(crate) argv: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ephemeral exec sh_01J… -- make test
  ephemeral exec sh_01J… 'grep -c x < /tmp/a'
  JOB=$(ephemeral exec --detach sh_01J… -- sleep 60)
  ephemeral exec --shell-name main sh_01J… 'cd /tmp; x=1'
  ephemeral exec --shell-name main sh_01J… 'pwd; echo $x'     prints /tmp and 1")]
pub(crate) struct Exec {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Run at once, without waiting for earlier commands.
    #[arg(long)]
    pub(crate) parallel: bool,
    /// Run the command in the shell process of this name, which keeps its directory, variables, functions and
    /// background processes for the next command of that name. It starts with the first command.
    #[arg(
        long = "shell-name",
        value_name = "NAME",
        conflicts_with_all = ["parallel", "background", "env", "cwd", "shell_name"]
    )]
    pub(crate) shared: Option<String>,
    /// Keep what the command leaves running; otherwise it is killed. `show JOB` lists it.
    #[arg(long)]
    pub(crate) background: bool,
    /// Environment variable of this command.
    #[arg(long = "env", short = 'e', value_parser = pair, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<Pair>,
    /// Print the job id and return without waiting.
    #[arg(long, short)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) command: CommandOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ephemeral attach sh_01J…                 a login shell
  ephemeral attach sh_01J… -- vim notes    one program
  ephemeral attach job_01J…                a terminal that was detached")]
pub(crate) struct Attach {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Working directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// User in the image; root is not allowed.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Environment variable of the command.
    #[arg(long = "env", short = 'e', value_parser = pair, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<Pair>,
    /// End the command after this time without a client, such as 15m.
    #[arg(long, value_parser = seconds, value_name = "TIME")]
    pub(crate) idle: Option<Seconds>,
    /// Record what the terminal shows, up to 4 MiB; `recording JOB` prints it.
    #[arg(long)]
    pub(crate) record: bool,
    /// One argument is a command line for a shell; several are a program and its arguments. The login
    /// shell if absent.
    #[arg(trailing_var_arg = true, value_name = "CMD")]
    pub(crate) argv: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ephemeral cp data.csv sh_01J…:                 into the home directory
  ephemeral cp sh_01J…:out/report.pdf .
  ephemeral cp -r project sh_01J…:/tmp           gives /tmp/project, as cp(1) does
  git archive HEAD | ephemeral cp - sh_01J…:source.tar
  ephemeral cp sh_01J…:log.txt - | grep error")]
pub(crate) struct Cp {
    /// Copy directories with their content.
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// A path, ID:PATH, or - for standard input. Paths in a shell count from the home directory.
    #[arg(value_name = "SOURCE")]
    pub(crate) source: OsString,
    /// A path, ID:PATH, or - for standard output.
    #[arg(value_name = "TARGET")]
    pub(crate) target: OsString,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claude mcp add ephemeral -- ephemeral mcp
  ephemeral mcp --url https://shells.example.com --ttl 8h --network egress

`ephemeral up` serves the same tools over HTTP at /mcp, with the token as the bearer token.")]
pub(crate) struct Mcp {
    #[command(flatten)]
    pub(crate) shell: ShellOptions,
    /// Stop the shell after this time without a command, such as 2h. Default: 30 minutes.
    #[arg(long, value_parser = seconds, value_name = "TIME")]
    pub(crate) idle: Option<Seconds>,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Let queued jobs finish first.
    #[arg(long)]
    pub(crate) drain: bool,
    /// Reason to record.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Return without waiting for the end of the shell.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Include shells that have ended.
    #[arg(long, short, conflicts_with = "status")]
    pub(crate) all: bool,
    /// List only shells with this status.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// Maximum number of shells.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    /// Follow the output until the job has ended.
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ephemeral attach --record sh_01J…
  ephemeral recording job_01J… -o session.cast && asciinema play session.cast")]
pub(crate) struct Recording {
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    /// Write to this file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ephemeral events sh_01KB8JR8ZC3M5D7W2Q9T4V6X0A
  ephemeral events --after latest --follow --json")]
pub(crate) struct Events {
    /// The shell whose timeline to print. Without it, the events of all your shells are printed: those that
    /// webhooks report.
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Follow the timeline until the shell has ended, or the events until you interrupt this.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Begin after the event of this number, or after the last one (`latest`).
    #[arg(long, value_name = "NUMBER", conflicts_with = "id")]
    pub(crate) after: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ephemeral doctor
  ephemeral doctor --hostile --image image.tar")]
pub(crate) struct Doctor {
    /// Check also whether hostile users are kept apart from each other and from this machine; exits with 1
    /// if they are not.
    #[arg(long)]
    pub(crate) hostile: bool,
    /// Image of the shells, as for `up --image`.
    #[arg(long, value_name = "PATH")]
    pub(crate) image: Option<PathBuf>,
    /// What shells with a network can reach, as for `up --network`.
    #[arg(long, value_enum, default_value_t = Reach::Public)]
    pub(crate) network: Reach,
    #[command(flatten)]
    pub(crate) isolation: Isolation,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ephemeral ps sh_01J…
  ephemeral kill sh_01J… 42
  ephemeral kill -s HUP sh_01J… 42 43")]
pub(crate) struct Kill {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Pids as `ps` lists them.
    #[arg(required = true, value_name = "PID", value_parser = value_parser!(i32).range(1..))]
    pub(crate) pids: Vec<i32>,
    /// Name or number of the signal.
    #[arg(long, short, default_value = "TERM", value_name = "SIGNAL")]
    pub(crate) signal: String,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("when").required(true))]
pub(crate) struct Extend {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// New TTL from now, such as 30m.
    #[arg(long, value_parser = seconds, value_name = "TIME", group = "when")]
    pub(crate) ttl: Option<Seconds>,
    /// New end (RFC 3339).
    #[arg(long, value_name = "WHEN", group = "when")]
    pub(crate) until: Option<String>,
    /// Permit an end that is earlier than the current one.
    #[arg(long)]
    pub(crate) allow_shorten: bool,
}

#[cfg(test)]
mod tests;
