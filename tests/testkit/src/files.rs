//! Files of all tasks in memory. Directories are the prefixes of names; an archive is kept as it is.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use domain::{
    TaskId, Timestamp,
    file::{
        Attributes, FileAction, FileKind, FilePath, FileRefusal, FileReply, FilesDone, ListedFile,
    },
    ports::{FileTransfer, Files, FilesError},
};
use parking_lot::Mutex;

use crate::Gate;

type State = Arc<Mutex<BTreeMap<FilePath, Vec<u8>>>>;

/// Files that every task sees.
#[derive(Debug)]
pub struct MemoryFiles {
    gate: Arc<Gate>,
    state: State,
    refusals: Mutex<BTreeMap<FilePath, FileRefusal>>,
    broken: Mutex<bool>,
}

impl MemoryFiles {
    /// No files.
    pub fn new(gate: Arc<Gate>) -> Self {
        let (state, refusals, broken) = (State::default(), Mutex::default(), Mutex::default());
        Self { gate, state, refusals, broken }
    }

    /// Puts a file.
    pub fn put(&self, path: &str, content: &[u8]) {
        self.state.lock().insert(FilePath(path.into()), content.to_vec());
    }

    /// The content of a file, if there is one.
    pub fn content(&self, path: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.state.lock().get(&FilePath(path.as_ref().to_vec())).cloned()
    }

    /// Refuses every request for this path.
    pub fn refuse(&self, path: &str, refusal: FileRefusal) {
        self.refusals.lock().insert(FilePath(path.into()), refusal);
    }

    /// From now on every transfer ends before it is complete.
    pub fn interrupt(&self) {
        *self.broken.lock() = true;
    }
}

#[async_trait]
impl Files for MemoryFiles {
    async fn open(
        &self,
        _task: &TaskId,
        path: &FilePath,
        action: FileAction,
    ) -> Result<Box<dyn FileTransfer>, FilesError> {
        let opened = self.gate.pass("opening files", || {
            if let Some(refusal) = self.refusals.lock().get(path) {
                return Err(FilesError::Refused(*refusal, "refused".to_owned()));
            }
            Transfer::open(&self.state, path.clone(), action, *self.broken.lock())
        });
        Ok(Box::new(opened.await??))
    }
}

struct Transfer {
    state: State,
    path: FilePath,
    action: FileAction,
    /// What [`FileTransfer::next`] tells, the last one first.
    replies: Vec<FileReply>,
    received: Vec<u8>,
    is_broken: bool,
}

impl Transfer {
    fn open(
        state: &State,
        path: FilePath,
        action: FileAction,
        is_broken: bool,
    ) -> Result<Self, FilesError> {
        let mut files = state.lock();
        let missing = || FilesError::Refused(FileRefusal::NotFound, "no such file".to_owned());
        let done = |entries| FileReply::Done(FilesDone { entries, ..FilesDone::default() });
        let replies = match action {
            FileAction::Read => {
                vec![FileReply::Found(attributes(files.get(&path).ok_or_else(missing)?))]
            }
            FileAction::Write { .. } | FileAction::Unpack { .. } => vec![FileReply::Ready],
            FileAction::Remove { .. } => {
                files.remove(&path).ok_or_else(missing)?;
                vec![done(1)]
            }
            FileAction::List { limit, .. } => list(&files, &path, limit),
            FileAction::Pack { .. } => {
                let archive = files.get(&path).ok_or_else(missing)?;
                vec![done(1), FileReply::Piece(archive.clone()), FileReply::Ready]
            }
        };
        drop(files);
        let (state, received) = (Arc::clone(state), Vec::new());
        Ok(Self { state, path, action, replies, received, is_broken })
    }
}

#[async_trait]
impl FileTransfer for Transfer {
    async fn next(&mut self) -> Result<FileReply, FilesError> {
        match self.replies.pop() {
            Some(FileReply::Done(_)) | None if self.is_broken => Err(FilesError::Interrupted),
            Some(reply) => Ok(reply),
            // More follows after a call of the others.
            None => std::future::pending().await,
        }
    }

    async fn ask(&mut self, offset: u64, length: u64) -> Result<(), FilesError> {
        let files = self.state.lock();
        let content = files.get(&self.path).cloned().unwrap_or_default();
        let piece = content.into_iter().skip(to_usize(offset)).take(to_usize(length)).collect();
        self.replies = vec![FileReply::Done(FilesDone::default()), FileReply::Piece(piece)];
        Ok(())
    }

    async fn send(&mut self, piece: &[u8]) -> Result<(), FilesError> {
        self.received.extend_from_slice(piece);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), FilesError> {
        if self.is_broken {
            return Ok(());
        }
        let found = attributes(&self.received);
        let mut files = self.state.lock();
        let old = files.insert(self.path.clone(), std::mem::take(&mut self.received));
        let done = FilesDone { entries: 1, created: old.is_none(), truncated: false };
        self.replies = vec![FileReply::Done(done)];
        if matches!(self.action, FileAction::Write { .. }) {
            self.replies.push(FileReply::Found(found));
        }
        Ok(())
    }
}

fn list(files: &BTreeMap<FilePath, Vec<u8>>, path: &FilePath, limit: u32) -> Vec<FileReply> {
    let prefix = [path.0.as_slice(), b"/"].concat();
    let below: Vec<ListedFile> = files
        .iter()
        .filter_map(|(name, content)| Some((name.0.strip_prefix(prefix.as_slice())?, content)))
        .map(|(name, content)| ListedFile {
            path: FilePath(name.to_vec()),
            attributes: attributes(content),
            target: None,
        })
        .collect();
    let truncated = below.len() > to_usize(limit.into());
    let listed: Vec<_> = below.into_iter().take(to_usize(limit.into())).collect();
    let entries = u64::try_from(listed.len()).unwrap_or(u64::MAX);
    let done = FileReply::Done(FilesDone { entries, truncated, created: false });
    vec![done, FileReply::Entries(listed)]
}

fn attributes(content: &[u8]) -> Attributes {
    Attributes {
        kind: FileKind::File,
        size: u64::try_from(content.len()).unwrap_or(u64::MAX),
        mode: 0o644,
        modified_at: Timestamp::from_millis(1_767_225_600_000),
        version: format!("v{}", content.len()),
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
