//! `fargate`: prints its URL as one line of JSON, and ends its tasks when it ends.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program")]

use std::{ffi::OsStr, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use fargate::{Config, EXEC_IN_SANDBOX, Server, StartError};
use sandbox::Image;
use tokio::signal::unix::{SignalKind, signal};

/// The ECS API over sandboxes of this host, for tests.
#[derive(Debug, Parser)]
struct Args {
    /// The address to listen on; port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The directory of the sandboxes, used by this process alone. The path must be short, because it
    /// contains sockets.
    #[arg(long)]
    data_dir: PathBuf,
    /// The SQS queue for task events, which have EventBridge's envelope.
    #[arg(long, value_name = "URL")]
    events_queue: Option<String>,
    /// Only send events of tasks in these states, as the pattern of a rule does.
    #[arg(long, value_name = "STATES", value_delimiter = ',')]
    event_states: Vec<String>,
    /// The endpoint of SQS; by default the origin of the queue's URL.
    #[arg(long, value_name = "URL")]
    sqs_endpoint: Option<String>,
    /// The image of all tasks: `host`, an OCI layout, or a tar of one.
    #[arg(long, default_value = "host")]
    image: PathBuf,
    #[arg(long, default_value = "us-east-1")]
    region: String,
    #[arg(long, default_value = "000000000000")]
    account: String,
    /// A capacity provider of instances, with their number; each runs one task at a time.
    #[arg(long, value_name = "NAME=COUNT", value_parser = instances)]
    instances: Vec<(String, usize)>,
    /// Where runners connect to, instead of where their tasks are told to.
    #[arg(long, value_name = "URL")]
    link_url: Option<String>,
    /// A port of this host that tasks reach at 127.0.0.1.
    #[arg(long, value_name = "PORT")]
    host_port: Option<u16>,
    /// Seed of the injected faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn instances(text: &str) -> Result<(String, usize), &'static str> {
    let (name, count) = text.split_once('=').ok_or("a name, `=` and a number")?;
    Ok((name.to_owned(), count.parse().map_err(|_| "the number of instances is not a number")?))
}

fn main() -> ExitCode {
    // These subcommands fork, so they must run before any thread is started.
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(OsStr::to_str) {
        Some("runtime") => return sandbox::runtime_main(args),
        Some(EXEC_IN_SANDBOX) => return fargate::enter_main(args),
        _ => {}
    }
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Runtime::new().expect("a process has threads");
    match runtime.block_on(serve(Args::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                message = format!("{message}: {cause}");
                source = cause.source();
            }
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> Result<(), StartError> {
    let is_host = args.image.as_os_str() == "host";
    let config = Config {
        listen: args.listen,
        data_dir: args.data_dir,
        image: if is_host { Image::Host } else { Image::File(args.image) },
        events_queue: args.events_queue,
        event_states: args.event_states,
        sqs_endpoint: args.sqs_endpoint,
        region: args.region,
        account: args.account,
        instances: args.instances,
        link_url: args.link_url,
        host_port: args.host_port,
        seed: args.seed,
        exe: std::env::current_exe().map_err(StartError::Exe)?,
    };
    // Registered before the server starts anything that would be left behind.
    let mut terminated = signal(SignalKind::terminate()).map_err(StartError::Exe)?;
    let server = Server::start(config).await?;
    println!("{}", serde_json::json!({ "url": server.url() }));
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    let left = server.stop().await;
    match left {
        0 => println!("nothing leaked"),
        left => println!("leaked {left} tasks"),
    }
    Ok(())
}
