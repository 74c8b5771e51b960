//! `mcp`: the tools of MCP on standard input and output.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream as Pipe,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use ::mcp::Server;
use tokio::{
    net::UnixStream,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{Context, body};
use crate::{
    args::Mcp,
    error::CliError,
    interrupt::{EndSignal, Interrupt},
};

/// How long the client's shell may take to accept its stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the client may take to read the last responses.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the server may go on after the end of input. More than the 5 s that the SDK waits for the
/// responses to requests that it still handles.
const END_TIMEOUT: Duration = Duration::from_secs(6);

pub(super) async fn mcp(context: &Context, args: Mcp) -> Result<ExitCode, CliError> {
    let mut interrupt = Interrupt::listen()?;
    let client = context.client()?;
    // A token that is not valid is reported now, where the user sees it.
    client.get("/quota").await?;
    let mut shell = body::start(args.shell);
    body::set(&mut shell, "idleTimeoutSeconds", args.idle.map(|idle| idle.0));
    let server = Server::new(Arc::new(client), shell);
    let served = serve(&server, &mut interrupt).await;
    if timeout(STOP_TIMEOUT, server.close()).await.is_err() {
        context
            .terminal
            .message("warning: the shell was not stopped; it ends after its idle timeout");
    }
    Ok(served?.map_or(ExitCode::SUCCESS, |signal| ExitCode::from(signal.exit())))
}

/// Serves the client until it ends or a signal asks this program to end.
async fn serve(server: &Server, interrupt: &mut Interrupt) -> Result<Option<EndSignal>, CliError> {
    let failed = |error: io::Error| CliError::chain("can't use standard input and output", &error);
    let (input, input_ended) = input().map_err(failed)?;
    let (output, mut closed) = output().map_err(failed)?;
    tokio::select! {
        served = server.serve(input, output) => {
            served.map_err(|error| CliError::chain("can't serve the client", &error))?;
        }
        _ = &mut closed => return Ok(None),
        // The SDK waits without end for a client that does not read the responses.
        () = after(input_ended, END_TIMEOUT) => return Ok(None),
        signal = interrupt.received() => return Ok(Some(signal)),
    }
    // The output was dropped, so its thread ends when the client has read everything.
    let _slow = timeout(FLUSH_TIMEOUT, closed).await;
    Ok(None)
}

/// Waits until something has ended, and then for some time.
async fn after(ended: oneshot::Receiver<()>, time: Duration) {
    let _ended = ended.await;
    sleep(time).await;
}

/// Standard input, and what tells when it has ended. A thread reads it, because a read can't be abandoned, and
/// a thread does not delay the end of this program.
fn input() -> io::Result<(UnixStream, oneshot::Receiver<()>)> {
    let (mut ours, theirs) = Pipe::pair()?;
    let (ended, closed) = oneshot::channel();
    thread::spawn(move || {
        // At the end of input, and if it can't be read, the other side sees the end.
        let _ended = pass_on(io::stdin().lock(), &mut ours);
        // The receiver may have been dropped by a signal.
        let _ = ended.send(());
    });
    theirs.set_nonblocking(true)?;
    Ok((UnixStream::from_std(theirs)?, closed))
}

/// Standard output, and what tells when it was closed by the client or everything is written.
fn output() -> io::Result<(UnixStream, oneshot::Receiver<()>)> {
    let (mut ours, theirs) = Pipe::pair()?;
    let (ended, closed) = oneshot::channel();
    thread::spawn(move || {
        let _ended = pass_on(&mut ours, io::stdout().lock());
        let _shut = ours.shutdown(Shutdown::Both);
        // The receiver may have been dropped by a signal.
        let _ = ended.send(());
    });
    theirs.set_nonblocking(true)?;
    Ok((UnixStream::from_std(theirs)?, closed))
}

/// Passes bytes on until the end. `io::copy` would use splice(2), which keeps a pipe locked while it waits for
/// the other side: until then, the process at the other end of the pipe can't even be killed.
fn pass_on(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count]).and_then(|()| to.flush())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
