//! A file of JSON lines.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::{DeliverError, Destination, event::PublishedEvent};

/// A file to which lines are appended. It is opened for each delivery, so it may be renamed at any time, as
/// `logrotate` does. A new one can be read by its owner only.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
}

impl LogFile {
    /// # Errors
    /// The file can't be opened.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        open(&path)?;
        Ok(Self { path })
    }
}

#[async_trait]
impl Destination for LogFile {
    fn name(&self) -> &'static str {
        "events log"
    }

    async fn deliver(&mut self, events: &[PublishedEvent]) -> (usize, Result<(), DeliverError>) {
        let count = events.len();
        if count == 0 {
            return (0, Ok(()));
        }
        let lines: String = events.iter().map(|event| format!("{}\n", event.json())).collect();
        let path = self.path.clone();
        let appended = spawn_blocking(move || append(&path, &lines)).await;
        match appended.map_err(io::Error::other).flatten() {
            Ok(()) => (count, Ok(())),
            Err(error) => {
                let what = format!("can't append to {}", self.path.display());
                (0, Err(DeliverError::new(what, Some(Box::new(error)))))
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// Appends whole lines: if they can't be written completely, the file is as before.
fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file = open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        // A pipe or a terminal, such as standard output, has no disk and no end.
        return file.write_all(lines.as_bytes());
    }
    let end = metadata.len();
    let start = if ends_within_a_line(&mut file)? { "\n" } else { "" };
    let written = file.write_all(format!("{start}{lines}").as_bytes());
    written.and_then(|()| file.sync_data()).inspect_err(|_| {
        // If this fails too, the next delivery ends the line.
        let _best_effort = file.set_len(end);
    })
}

/// Whether a crash or a full disk cut the last line off.
fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
