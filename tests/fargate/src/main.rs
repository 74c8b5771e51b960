//! `fargate`: says where it listens in one line of JSON, and takes its tasks along when it ends.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program")]

use std::{ffi::OsStr, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use fargate::{Config, ENTER, Server, StartError};
use sandbox::Image;
use tokio::signal::unix::{SignalKind, signal};

/// The ECS API over sandboxes of this host, for tests.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// For the sandboxes, and for this process alone. A short path: sockets are in it.
    #[arg(long)]
    data_dir: PathBuf,
    /// Gets the tasks' events as EventBridge would put them there.
    #[arg(long, value_name = "URL")]
    events_queue: Option<String>,
    /// Where the queue's service is, if that is not where the queue's URL leads.
    #[arg(long, value_name = "URL")]
    sqs_endpoint: Option<String>,
    /// `host`, an OCI layout, or a tar of one.
    #[arg(long, default_value = "host")]
    image: PathBuf,
    #[arg(long, default_value = "us-east-1")]
    region: String,
    #[arg(long, default_value = "000000000000")]
    account: String,
    /// Of all chance in here.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    // This forks, so it must come before anything that makes a thread.
    let mut words = std::env::args_os().skip(1);
    match words.next().as_deref().and_then(OsStr::to_str) {
        Some("runtime") => return sandbox::runtime_main(words),
        Some(ENTER) => return fargate::enter_main(words),
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
            let mut words = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                words = format!("{words}: {cause}");
                source = cause.source();
            }
            eprintln!("error: {words}");
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
        sqs_endpoint: args.sqs_endpoint,
        region: args.region,
        account: args.account,
        seed: args.seed,
        exe: std::env::current_exe().map_err(StartError::Exe)?,
    };
    // Before anything runs that would be left behind.
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
