//! Stands in for AWS's session-manager-plugin, which connects to AWS only: the AWS CLI starts it to
//! connect a terminal with a session.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program")]

use std::process::ExitCode;

use serde_json::Value;
use ssm::client::{Channel, open};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, split, stdin, stdout},
    runtime::Runtime,
};

type AnyError = Box<dyn std::error::Error>;

/// The size that AWS's plugin sends if there is no terminal.
const SIZE: (u16, u16) = (300, 100);

fn main() -> ExitCode {
    // The CLI calls the plugin without arguments to check that it is installed.
    let Some(session) = std::env::args().nth(1) else { return ExitCode::SUCCESS };
    let runtime = Runtime::new().expect("a process has threads");
    let done = runtime.block_on(attach(&session));
    // A blocking read from the terminal would keep the process alive.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Cannot perform start session: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn attach(session: &str) -> Result<(), AnyError> {
    let session: Value = serde_json::from_str(session)?;
    let text = |name: &str| session[name].as_str().ok_or(format!("the session has no {name}"));
    let id = text("sessionId")?;
    println!("\nStarting session with SessionId: {id}");
    let channel = open(text("streamUrl")?, text("tokenValue")?, &[]).await?;
    channel.resize(SIZE.0, SIZE.1);
    talk(channel).await?;
    println!("\n\nExiting session with sessionId: {id}.");
    Ok(())
}

/// Copies input and output until the session ends.
async fn talk(channel: Channel) -> Result<(), AnyError> {
    let (mut printed, mut typed) = split(channel);
    tokio::spawn(async move {
        // The task ends with the session, or with its input; the session continues then.
        let _ended = copy(&mut stdin(), &mut typed).await;
    });
    let mut screen = stdout();
    let mut buffer = [0; 4096];
    loop {
        let length = printed.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        screen.write_all(buffer.get(..length).unwrap_or_default()).await?;
        screen.flush().await?;
    }
}
