//! Writes the files that a start request asks for.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{
    TaskId,
    file::{FileAction, FilePath, FileReply, NewFile},
    ports::{BackendError, FileTransfer, FilesError},
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use super::{Dial, files::Transfer};

/// How many files are written at once. A runner serves twice as many.
const AT_ONCE: usize = 4;
/// How long all files may take. A worker's claim lasts longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a path is shown. Characters.
const MAX_SHOWN: usize = 200;

/// Writes the files, several at once.
pub(super) async fn write(
    dial: &impl Dial,
    task: &TaskId,
    files: &[NewFile],
) -> Result<(), FilesError> {
    let writes = files.iter().cloned().map(|file| async move {
        write_one(dial, task, &file).await.map_err(|error| match error {
            FilesError::Refused(refusal, message) => {
                FilesError::Refused(refusal, format!("{}: {message}", shown(&file.path)))
            }
            error @ (FilesError::TooMany | FilesError::Interrupted | FilesError::Backend(_)) => {
                error
            }
        })
    });
    let all = stream::iter(writes).buffer_unordered(AT_ONCE).try_collect::<()>();
    timeout(TIMEOUT, all).await.unwrap_or(Err(FilesError::Interrupted))
}

async fn write_one(dial: &impl Dial, task: &TaskId, file: &NewFile) -> Result<(), FilesError> {
    let content = STANDARD.decode(&file.base64).map_err(|error| failed(error.to_string()))?;
    let path = FilePath(file.path.clone().into_bytes());
    let action = FileAction::Write { mode: file.mode };
    let mut transfer = Transfer::of_file(dial, task, &path, action).await?;
    let FileReply::Ready = transfer.next().await? else { return Err(unexpected()) };
    transfer.send(&content).await?;
    transfer.finish().await?;
    loop {
        match transfer.next().await? {
            FileReply::Found(_) => {}
            FileReply::Done(_) => return Ok(()),
            FileReply::Ready | FileReply::Entries(_) | FileReply::Piece(_) => {
                return Err(unexpected());
            }
        }
    }
}

/// The end of a path, which says more than its beginning, without control characters.
fn shown(path: &str) -> String {
    let skipped = path.chars().count().saturating_sub(MAX_SHOWN);
    let end: String = path.chars().skip(skipped).flat_map(char::escape_debug).collect();
    if skipped > 0 { format!("…{end}") } else { end }
}

fn unexpected() -> FilesError {
    failed("an answer to another request".to_owned()).into()
}

fn failed(error: String) -> BackendError {
    BackendError::new("writing a file of a start", error)
}
