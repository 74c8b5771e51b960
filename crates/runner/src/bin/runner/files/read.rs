use std::path::Path;

use runner::protocol::files::{Done, FromCaller, Reply};

use super::channel::{Channel, Received};
use super::error::Failure;
use super::open;

/// Tells the attributes of a file, and sends the part of it that the caller asks for.
pub(super) fn read(path: &Path, channel: &mut Channel) -> Result<Done, Failure> {
    let (file, attributes) = open::file(path)?;
    channel.reply(&Reply::Found(attributes))?;
    let Received::Message(FromCaller::Send { offset, length }) = channel.receive(usize::MAX)?
    else {
        return Err(Failure::Lost);
    };
    channel.send_file(&file, offset, length)?;
    Ok(Done { entries: 1, ..Done::default() })
}
