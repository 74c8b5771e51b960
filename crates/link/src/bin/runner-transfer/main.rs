//! Moves the bytes of files between a shell and a store of objects, as the user of the shell's commands.
//!
//! Usage: `runner-transfer <ORDER`, where the order is JSON ([`link::Order`]). It prints what became of the
//! request: a [`Reply`] in each line, the last of which is `done` or `failed`. The exit code is 1 after
//! `failed`.
//!
//! The files are read and changed by `runner --files`, which is the code that serves such requests everywhere.
//! This program only passes bytes on, never more than some pieces at a time. The URL in the order is a
//! secret: it is not printed, and no other process can read the memory of this one.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
    time::Duration,
};

use link::Order;
use runner::protocol::files::{DISK_FULL, Done, FileAction, FileError, Reply};
use rustix::process::DumpableBehavior;
use tokio::time::sleep;

mod files;
mod object;

use files::Files;
use object::{Body, Object};

/// How often a transfer is begun that breaks off.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt; each later one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// The largest object: S3 takes no more at once. Bytes.
const MAX_OBJECT: u64 = 5 << 30;

/// Why a request was not carried out.
#[derive(Debug)]
enum TransferError {
    /// Another attempt would end in the same way.
    Refused(FileError, String),
    /// Something broke off.
    Broken(String),
}

impl From<io::Error> for TransferError {
    fn from(error: io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::Refused(FileError::DiskFull, DISK_FULL.to_owned());
        }
        Self::Broken(format!("the process that has the files failed: {error}"))
    }
}

fn main() -> ExitCode {
    let replies = match run() {
        Ok(replies) => replies,
        Err(TransferError::Refused(error, message)) => vec![Reply::Failed { error, message }],
        Err(TransferError::Broken(message)) => {
            vec![Reply::Failed { error: FileError::NotTransferred, message }]
        }
    };
    let is_done = matches!(replies.last(), Some(Reply::Done(_)));
    if print(&replies).is_ok() && is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(replies: &[Reply]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for reply in replies {
        let line = serde_json::to_string(reply)?;
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn run() -> Result<Vec<Reply>, TransferError> {
    // Commands of the same user may not read the URL in the memory of this process.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(io::Error::from)?;
    let mut order = Vec::new();
    io::stdin().read_to_end(&mut order)?;
    // The error says where the input is wrong, but not what it is.
    let order: Order = serde_json::from_slice(&order)
        .map_err(|error| TransferError::Refused(FileError::Failed, error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(carry_out(&order))
}

/// Carries out the order. An attempt that breaks off has changed nothing in the shell but, while an archive is
/// unpacked, some of its files, which the next attempt writes again.
async fn carry_out(order: &Order) -> Result<Vec<Reply>, TransferError> {
    let object = order.url.as_deref().map(Object::new).transpose()?;
    let mut attempt = 1;
    loop {
        let done = match (order.action, &object) {
            (FileAction::Remove { .. } | FileAction::List { .. }, None) => local(order).await,
            (FileAction::Read, Some(object)) => read(order, object).await,
            (FileAction::Pack { gzip }, Some(object)) => pack(order, object, gzip).await,
            (FileAction::Write { .. } | FileAction::Unpack { .. }, Some(object)) => {
                write(order, object).await
            }
            (_, Some(_) | None) => {
                let message = "the order has no URL, or one that it has no use for".to_owned();
                return Err(TransferError::Refused(FileError::Failed, message));
            }
        };
        match done {
            Err(TransferError::Broken(_)) if attempt < ATTEMPTS => {
                sleep(PAUSE * (1 << (attempt - 1))).await;
                attempt += 1;
            }
            done => return done,
        }
    }
}

/// A request whose answer has no bytes of files.
async fn local(order: &Order) -> Result<Vec<Reply>, TransferError> {
    Files::open(order).await?.rest().await
}

/// Puts a file to its object.
async fn read(order: &Order, object: &Object) -> Result<Vec<Reply>, TransferError> {
    let mut files = Files::open(order).await?;
    let Reply::Found(found) = files.reply().await? else { return Err(unexpected()) };
    check_size(found.size)?;
    files.ask(found.size).await?;
    object.put(Body::of_pieces(files, found.size), None).await?;
    Ok(vec![Reply::Found(found), Reply::Done(Done { entries: 1, ..Done::default() })])
}

/// Gathers an archive in a file without a name, because an object is put with its length, and puts it.
async fn pack(order: &Order, object: &Object, gzip: bool) -> Result<Vec<Reply>, TransferError> {
    let mut files = Files::open(order).await?;
    let Reply::Ready = files.reply().await? else { return Err(unexpected()) };
    let mut spool = tempfile::tempfile()?;
    let mut size = 0;
    let done = loop {
        match files.next().await? {
            files::Frame::Piece(piece) => {
                size += piece.len() as u64;
                check_size(size)?;
                spool.write_all(&piece)?;
            }
            files::Frame::Reply(done @ Reply::Done(_)) => break done,
            files::Frame::Reply(_) => return Err(unexpected()),
        }
    };
    object.put(Body::of_file(spool, size)?, gzip.then_some("gzip")).await?;
    Ok(vec![done])
}

/// Gets an object, and writes or unpacks it.
async fn write(order: &Order, object: &Object) -> Result<Vec<Reply>, TransferError> {
    let mut bytes = object.get().await?;
    let mut files = Files::open(order).await?;
    let Reply::Ready = files.reply().await? else { return Err(unexpected()) };
    while let Some(piece) = bytes.next().await? {
        if files.send(piece.as_ref()).await.is_err() {
            // The process has said why it takes no more.
            return files.rest().await;
        }
    }
    bytes.check()?;
    files.finish().await?;
    files.rest().await
}

fn check_size(size: u64) -> Result<(), TransferError> {
    if size > MAX_OBJECT {
        let message = format!("more than {MAX_OBJECT} bytes can't be transferred at once");
        return Err(TransferError::Refused(FileError::Failed, message));
    }
    Ok(())
}

fn unexpected() -> TransferError {
    let message = "the process that has the files has answered another request";
    TransferError::Broken(message.to_owned())
}
