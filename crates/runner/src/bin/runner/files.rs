//! Reads and changes files for one caller, in a process of its own that runs as the user of commands: the
//! kernel grants it what it grants the commands, so that no path leads further than theirs.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use runner::protocol::files::{self, Done, FileAction, FileRequest, HEAD_BYTES, Reply};

mod channel;
mod error;
mod list;
mod open;
mod pack;
mod read;
mod remove;
mod replacement;
mod splice;
mod unpack;
mod write;

use channel::Channel;
use error::Failure;

use crate::spawn::limit_addresses;

/// Serves the request that is the first message on standard input, a socket, as the user that this process has.
/// `runner-transfer` is the other side.
pub(crate) fn serve_stdin() -> io::Result<()> {
    limit_addresses()?;
    let mut socket = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut head = [0; HEAD_BYTES];
    socket.read_exact(&mut head)?;
    let (_, length) = files::read_head(head).map_err(io::Error::other)?;
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    serve(files::decode_message(&body).map_err(io::Error::other)?, socket.into());
    Ok(())
}

/// Serves the request over the connection, and returns when that is done.
pub(crate) fn serve(request: FileRequest, connection: OwnedFd) {
    let timeout = Duration::from_millis(request.idle_ms.max(1));
    // Without a caller there is nobody to tell.
    let Ok(mut channel) = Channel::open(UnixStream::from(connection), timeout) else { return };
    let reply = match carry_out(request, &mut channel) {
        Ok(done) => Reply::Done(done),
        Err(Failure::Told(error, message)) => Reply::Failed { error, message },
        Err(Failure::Lost) => return,
    };
    if channel.reply(&reply).is_ok() {
        channel.close();
    }
}

fn carry_out(request: FileRequest, channel: &mut Channel) -> Result<Done, Failure> {
    let path = open::checked(request.path.0)?;
    let path = PathBuf::from(path);
    match request.action {
        FileAction::Read => read::read(&path, channel),
        FileAction::Write { mode } => write::write(&path, mode, channel),
        FileAction::Remove { recursive } => remove::remove(&path, recursive),
        FileAction::List { depth, limit } => list::list(&path, depth, limit, channel),
        FileAction::Pack { gzip } => pack::pack(&path, gzip, channel),
        FileAction::Unpack { gzip } => unpack::unpack(&path, gzip, channel),
    }
}
