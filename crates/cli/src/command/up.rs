//! `up`: runs the server on this machine.

use std::{
    fmt::Display,
    io::{IsTerminal, stdout},
    num::NonZeroU32,
};

use local::{
    Secret,
    config::{BudgetConfig, Config, EventsConfig, RunLimits, Runtime, StorageLimits, Tls},
    server::Server,
};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::{Context, console::link};
use crate::{
    args::{Sandbox, Up},
    embedded,
    error::{CliError, Exit},
    find_server,
    interrupt::Interrupt,
    table::properties,
};

pub(super) async fn up(context: &Context, args: Up) -> Result<(), CliError> {
    log(&args.log)?;
    let mut interrupt = Interrupt::listen()?;
    if args.isolation.sandbox == Sandbox::None {
        context
            .terminal
            .message("warning: --sandbox none: commands run on this machine without isolation");
    }
    let mut config = Config::new(
        find_server::data_dir(&context.global),
        embedded::sandbox(&args.isolation, args.image)?,
    );
    config.listen = args.listen;
    config.insecure_listen = args.insecure_listen;
    config.tls =
        args.tls_cert.zip(args.tls_key).map(|(certificates, key)| Tls { certificates, key });
    config.max_active_sessions = args.quota;
    config.starts_per_minute = NonZeroU32::new(args.start_rate);
    config.storage = StorageLimits {
        user: args.storage_per_user.saturating_mul(1 << 20),
        session: args.storage_per_session.saturating_mul(1 << 20),
    };
    config.queue.jobs = args.queue;
    config.running = RunLimits { user: args.running_per_user, session: args.running_per_session };
    config.warm = args.warm;
    config.console = args.console;
    config.terminal_origins = args.terminal_origin;
    config.prepared = args.prepared;
    config.webhook_allow_private = args.webhook_allow_private;
    config.egress = embedded::egress(args.network);
    config.budget = BudgetConfig {
        memory_mib: args.budget.memory_budget,
        disk_mib: args.budget.disk_budget,
        pids: args.budget.process_budget,
        sessions: args.budget.max_sessions,
        max_size: args.budget.max_size.map(|size| (size.cpu, size.memory_mib, size.disk_mib)),
    };
    config.events = EventsConfig {
        log: args.events.events_log,
        url: args.events.events_url.map(|url| Secret::new(url.into())),
    };
    let shown = config.clone();
    let server = Server::start(config).await.map_err(|error| embedded::start_failed(&error))?;
    print(context, &server, &shown)?;
    interrupt.received().await;
    context
        .terminal
        .note("stopping; shells keep running, and the next `ephemeral up` finds them again");
    server.stop().await.map_err(|error| CliError::chain("the server did not stop cleanly", &error))
}

/// Initializes logging to standard error.
pub(super) fn log(filter: &str) -> Result<(), CliError> {
    let parsed = EnvFilter::try_new(filter).and_then(|filter| {
        // The SDK of MCP logs whole messages, and so commands.
        "rmcp=off".parse().map(|off| filter.add_directive(off))
    });
    let filter = parsed.map_err(|error| {
        CliError::chain("can't parse --log", &error)
            .with_exit(Exit::Usage)
            .hint("examples: `info`, `warn,local=debug`")
    })?;
    let colours = console::colors_enabled_stderr();
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .init();
    Ok(())
}

fn print(context: &Context, server: &Server, config: &Config) -> Result<(), CliError> {
    let token = server.token_path();
    let runtime = match &config.sandbox.runtime {
        Runtime::BuiltIn => "built-in runtime".into(),
        Runtime::Program(program) => program.path.display().to_string(),
        Runtime::Bare => "this machine, without isolation".into(),
    };
    let value = json!({
        "url": server.url(),
        "tokenPath": token,
        "dataDir": config.data_dir,
        "sandbox": if config.sandbox.runtime == Runtime::Bare { "none" } else { "oci" },
        "runtime": runtime,
        "console": config.console,
        "eventsKeyPath": config.events.url.as_ref().map(|_| server.events_key_path()),
    });
    let text = |value: &dyn Display| Some(value.to_string());
    let lines = properties(&[
        ("url", text(&server.url())),
        ("console", console_line(context, server)?),
        ("token", text(&format_args!("in {}", token.display()))),
        ("data", text(&config.data_dir.display())),
        ("events", events_line(server, &config.events)),
        (
            "shells",
            text(&format_args!(
                "{runtime}; at most {} per user; {} warm",
                config.max_active_sessions, config.warm,
            )),
        ),
        ("try", text(&"ephemeral run 'id; uname -r'   (in another terminal)")),
    ]);
    context.terminal.result(&value, &lines)
}

/// How to open the console. Only a terminal gets the link: a code in a log would sign its readers in.
fn console_line(context: &Context, server: &Server) -> Result<Option<String>, CliError> {
    if context.terminal.json || !stdout().is_terminal() {
        let hint = format!("{}/   (`ephemeral console` prints a link that signs in)", server.url());
        return Ok(server.has_console().then_some(hint));
    }
    let code = server.console_code().map_err(|error| {
        CliError::chain(&format!("can't read {}", server.token_path().display()), &error)
    })?;
    Ok(code.map(|code| link(server.url(), code.expose())))
}

/// Where events are published. The URL may contain a key, so it is not printed.
fn events_line(server: &Server, config: &EventsConfig) -> Option<String> {
    let log = config.log.as_ref().map(|path| format!("to {}", path.display()));
    let endpoint = config.url.as_ref().map(|_| {
        format!("to the endpoint, signed with the key in {}", server.events_key_path().display())
    });
    let places: Vec<_> = log.into_iter().chain(endpoint).collect();
    (!places.is_empty()).then(|| places.join("; "))
}
