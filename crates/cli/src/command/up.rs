//! `up`: the server on this machine.

use std::fmt::Display;

use local::{
    config::{Config, Runtime, Tls},
    server::Server,
};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::Context;
use crate::{
    args::{Sandbox, Up},
    embedded,
    failure::{Exit, Failure},
    find,
    interrupt::Interrupt,
    table::facts,
};

pub(super) async fn up(context: &Context, args: Up) -> Result<(), Failure> {
    log(&args.log)?;
    let mut interrupt = Interrupt::listen()?;
    if args.place.sandbox == Sandbox::None {
        context.screen.tell("warning: --sandbox none: commands run on this machine itself");
    }
    let mut config =
        Config::new(find::data_dir(&context.global), embedded::sandbox(&args.place, args.image)?);
    config.listen = args.listen;
    config.insecure_listen = args.insecure_listen;
    config.tls =
        args.tls_cert.zip(args.tls_key).map(|(certificates, key)| Tls { certificates, key });
    config.max_active_sessions = args.quota;
    config.warm = args.warm;
    config.webhook_allow_private = args.webhook_allow_private;
    let told = config.clone();
    let server = Server::start(config).await.map_err(|error| embedded::refused(&error))?;
    tell(context, &server, &told)?;
    interrupt.came().await;
    context.screen.note("stopping; shells go on until the next `ephemeral up` or their end");
    server.stop().await.map_err(|error| Failure::chain("the server did not stop well", &error))
}

/// Logs to standard error.
pub(super) fn log(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::chain("--log can't be read", &error)
            .with_exit(Exit::Usage)
            .hint("it looks like `info` or `warn,local=debug`")
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

fn tell(context: &Context, server: &Server, config: &Config) -> Result<(), Failure> {
    let token = server.token_path();
    let runtime = match &config.sandbox.runtime {
        Runtime::BuiltIn => "built-in runtime".into(),
        Runtime::Program(path) => path.display().to_string(),
        Runtime::Bare => "bare host, without any isolation".into(),
    };
    let value = json!({
        "url": server.url(),
        "tokenPath": token,
        "dataDir": config.data_dir,
        "sandbox": if config.sandbox.runtime == Runtime::Bare { "none" } else { "oci" },
        "runtime": runtime,
    });
    let shown = |value: &dyn Display| Some(value.to_string());
    let words = facts(&[
        ("url", shown(&server.url())),
        ("token", shown(&format_args!("in {}", token.display()))),
        ("data", shown(&config.data_dir.display())),
        (
            "shells",
            shown(&format_args!(
                "by the {runtime}, {} a user at once, {} kept warm",
                config.max_active_sessions, config.warm,
            )),
        ),
        ("try", shown(&"ephemeral run 'id; uname -r'   (in another terminal)")),
    ]);
    context.screen.result(&value, &words)
}
