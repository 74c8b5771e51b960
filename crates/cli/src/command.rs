//! The commands, one file each.

use std::process::ExitCode;

use crate::{
    args::{Cli, Command, Global},
    client::Client,
    error::{CliError, Exit},
    find_server::{self, Address},
    terminal::Terminal,
};

mod attach;
mod body;
mod cancel;
mod completions;
mod console;
mod cp;
mod doctor;
mod events;
mod exec;
mod extend;
mod foreground;
mod kill;
mod logs;
mod ls;
mod mcp;
mod ps;
mod recording;
mod run;
mod show;
mod start;
mod stop;
mod token;
mod up;

/// The global options, as every command needs them.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) terminal: Terminal,
}

impl Context {
    /// A client for the selected server; an error if there is none.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        Client::new(self.address()?)
    }

    fn address(&self) -> Result<Address, CliError> {
        find_server::find(&self.global)?.ok_or_else(|| {
            let dir = find_server::data_dir(&self.global);
            CliError::new(Exit::Unreachable, format!("no server is running in {}", dir.display()))
                .hint("start one with `ephemeral up`, or set EPHEMERAL_URL and EPHEMERAL_TOKEN")
        })
    }
}

/// Executes the command that the command line names.
pub(crate) async fn execute(cli: Cli) -> Result<ExitCode, CliError> {
    let context = Context { terminal: Terminal::new(cli.global.json), global: cli.global };
    let result = match cli.command {
        Command::Run(args) => return run::run(&context, args).await,
        Command::Start(args) => start::start(&context, args).await,
        Command::Exec(args) => return exec::exec(&context, args).await,
        Command::Mcp(args) => return mcp::mcp(&context, args).await,
        Command::Attach(args) => return attach::attach(&context, args).await,
        Command::Cp(args) => return cp::cp(&context, args).await,
        Command::Stop(args) => stop::stop(&context, args).await,
        Command::Ls(args) => ls::ls(&context, args).await,
        Command::Show { id } => show::show(&context, &id).await,
        Command::Logs(args) => logs::logs(&context, args).await,
        Command::Recording(args) => recording::recording(&context, args).await,
        Command::Events(args) => events::events(&context, args).await,
        Command::Extend(args) => extend::extend(&context, args).await,
        Command::Cancel { job } => cancel::cancel(&context, &job).await,
        Command::Ps { id } => ps::ps(&context, &id).await,
        Command::Kill(args) => kill::kill(&context, &args).await,
        Command::Console => console::console(&context).await,
        Command::Up(args) => up::up(&context, args).await,
        Command::Token(args) => token::token(&context, args).await,
        Command::Doctor(args) => doctor::doctor(&context, &args).await,
        Command::Completions { shell } => completions::completions(&context, shell),
    };
    result.map(|()| ExitCode::SUCCESS)
}
