//! Reads and changes files for one caller, in a process of its own that runs as the user of commands: the
//! kernel grants it what it grants the commands, so that no path leads further than theirs.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use runner::protocol::files::{Done, FileAction, FileRequest, Reply};

mod channel;
mod error;
mod list;
mod open;
mod pack;
mod read;
mod remove;
mod replacement;
mod unpack;
mod write;

use channel::Channel;
use error::Failure;

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
