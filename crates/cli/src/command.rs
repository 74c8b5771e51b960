//! The commands: one file per command, and this list of them.

use std::process::ExitCode;

use crate::{
    args::{Cli, Command, Global},
    client::Client,
    failure::{Exit, Failure},
    find,
    screen::Screen,
};

mod body;
mod cancel;
mod completions;
mod doctor;
mod events;
mod exec;
mod extend;
mod logs;
mod ls;
mod run;
mod show;
mod start;
mod stop;
mod token;
mod up;

/// What every command has at hand.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) screen: Screen,
}

impl Context {
    /// The server that is meant; a failure if there is none.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let address = find::server(&self.global)?.ok_or_else(|| {
            let dir = find::data_dir(&self.global);
            Failure::new(Exit::Unreachable, format!("no server is running in {}", dir.display()))
                .hint("start one with `ephemeral up`, or set EPHEMERAL_URL and EPHEMERAL_TOKEN")
        })?;
        Client::new(address)
    }
}

/// Carries out what the command line says.
pub(crate) async fn carry_out(cli: Cli) -> Result<ExitCode, Failure> {
    let context = Context { screen: Screen::new(cli.global.json), global: cli.global };
    let done = match cli.command {
        Command::Run(args) => return run::run(&context, args).await,
        Command::Start(args) => start::start(&context, args).await,
        Command::Exec(args) => return exec::exec(&context, args).await,
        Command::Stop(args) => stop::stop(&context, args).await,
        Command::Ls(args) => ls::ls(&context, args).await,
        Command::Show { id } => show::show(&context, &id).await,
        Command::Logs(args) => logs::logs(&context, args).await,
        Command::Events(args) => events::events(&context, args).await,
        Command::Extend(args) => extend::extend(&context, args).await,
        Command::Cancel { job } => cancel::cancel(&context, &job).await,
        Command::Up(args) => up::up(&context, args).await,
        Command::Token(args) => token::token(&context, args).await,
        Command::Doctor(place) => doctor::doctor(&context, &place).await,
        Command::Completions { shell } => completions::completions(&context, shell),
    };
    done.map(|()| ExitCode::SUCCESS)
}
