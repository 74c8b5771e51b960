//! A request for files on its way to the shell of a session.

use std::time::Duration;

use domain::{
    SessionId, Timestamp, UserId,
    file::{FileAction, FilePath, FileRefusal, FileReply, FilesDone},
    ports::{Expect, FileTransfer, FilesError, Write, Zstd},
    session::{Ready, Session},
};

use super::unexpected;
use crate::{
    Env,
    http::{
        problem::{Code, Problem},
        sessions,
    },
};

/// How often a transfer is recorded as a use of its session, at least.
const MAX_RECORD_INTERVAL: Duration = Duration::from_secs(30);

/// A transfer, and the session that it keeps from being idle.
pub(super) struct ShellFiles {
    env: Env,
    session: SessionId,
    path: FilePath,
    transfer: Box<dyn FileTransfer>,
    /// How often the session is recorded as used; never if it has no idle timeout.
    interval: Option<Duration>,
    recorded_at: Timestamp,
}

impl ShellFiles {
    /// Opens a transfer with the shell of the caller's session, which must be ready.
    pub(super) async fn open(
        env: &Env,
        user: &UserId,
        id: SessionId,
        path: Option<FilePath>,
        action: FileAction,
    ) -> Result<Self, Problem> {
        let ready = sessions::ready(sessions::owned(env, user, id).await?.value)?;
        let files = env.files.as_ref().ok_or_else(|| {
            Problem::new(
                Code::FilesUnavailable,
                "this deployment can't transfer files; send them as input and output of commands",
            )
        })?;
        // The query was read, so the path is there.
        let path = path.ok_or_else(unexpected)?;
        let interval = ready_interval(&ready);
        let opened = files.open(ready.task(), &path, action).await;
        let transfer = match opened {
            Ok(transfer) => transfer,
            Err(error) => return Err(problem(env, id, &path, error).await),
        };
        let (env, recorded_at) = (env.clone(), env.now());
        let mut shell = Self { env, session: id, path, transfer, interval, recorded_at };
        shell.record().await;
        Ok(shell)
    }

    /// This transfer, whose archive is compressed or decompressed on its way.
    pub(super) async fn by_zstd(
        mut self,
        wrap: impl FnOnce(&dyn Zstd, Box<dyn FileTransfer>) -> Result<Box<dyn FileTransfer>, FilesError>,
    ) -> Result<Self, Problem> {
        let zstd = self.env.zstd.clone().ok_or_else(unexpected)?;
        match wrap(zstd.as_ref(), self.transfer) {
            Ok(transfer) => self.transfer = transfer,
            Err(error) => return Err(problem(&self.env, self.session, &self.path, error).await),
        }
        Ok(self)
    }

    /// The next reply.
    pub(super) async fn next(&mut self) -> Result<FileReply, Problem> {
        match self.transfer.next().await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.problem(error).await),
        }
    }

    /// Waits until everything was done.
    pub(super) async fn done(&mut self) -> Result<FilesDone, Problem> {
        match self.next().await? {
            FileReply::Done(done) => Ok(done),
            FileReply::Found(_)
            | FileReply::Ready
            | FileReply::Entries(_)
            | FileReply::Piece(_) => Err(unexpected()),
        }
    }

    pub(super) async fn ask(&mut self, offset: u64, length: u64) -> Result<(), Problem> {
        match self.transfer.ask(offset, length).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.problem(error).await),
        }
    }

    /// Sends a piece. If the shell has ended the transfer, the problem says why.
    pub(super) async fn send(&mut self, piece: &[u8]) -> Result<(), Problem> {
        if self.transfer.send(piece).await.is_err() {
            return Err(self.refusal().await);
        }
        self.used().await;
        Ok(())
    }

    /// Sends the end of the pieces.
    pub(super) async fn finish(&mut self) -> Result<(), Problem> {
        match self.transfer.finish().await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.refusal().await),
        }
    }

    /// Why the shell takes no more.
    async fn refusal(&mut self) -> Problem {
        match self.transfer.next().await {
            Ok(_) => unexpected(),
            Err(error) => self.problem(error).await,
        }
    }

    async fn problem(&mut self, error: FilesError) -> Problem {
        problem(&self.env, self.session, &self.path, error).await
    }

    /// Records from time to time that the session is used.
    pub(super) async fn used(&mut self) {
        if self.interval.is_some_and(|every| self.env.now().since(self.recorded_at) >= every) {
            self.record().await;
        }
    }

    /// Records that the session is used now. A conflict or a failure is no harm: whoever has changed the
    /// record has used the session too, and this is tried again with the next piece.
    async fn record(&mut self) {
        if self.interval.is_none() {
            return;
        }
        let now = self.env.now();
        self.recorded_at = now;
        if let Ok(Some(read)) = self.env.store.session(self.session).await
            && let Session::Ready(ready) = read.value
        {
            let session = Box::new(ready.active(now, now).into());
            let write = Write::Session(session, Expect::At(read.version));
            if let Err(error) = self.env.store.commit(vec![write]).await {
                tracing::debug!(%error, session.id = %self.session, "did not record a transfer");
            }
        }
    }
}

fn ready_interval(ready: &Ready) -> Option<Duration> {
    let session = Session::from(ready.clone());
    session.common().spec.idle_timeout.map(|timeout| (timeout / 4).min(MAX_RECORD_INTERVAL))
}

/// The problem behind an error of a transfer with this path of a session.
pub(super) async fn problem(
    env: &Env,
    id: SessionId,
    path: &FilePath,
    error: FilesError,
) -> Problem {
    let (refusal, message) = match error {
        FilesError::Refused(refusal, message) => (refusal, message),
        FilesError::TooMany => {
            let detail = "the session has as many transfers of files at once as this server allows, or \
                          you or all users have as many with zstd; retry when one has ended";
            return Problem::new(Code::TooManyRequests, detail);
        }
        FilesError::Interrupted => return sessions::interrupted(env, id).await,
        FilesError::Backend(error) => return error.into(),
    };
    let code = match refusal {
        FileRefusal::NotFound => Code::PathNotFound,
        FileRefusal::NotAFile => Code::NotAFile,
        FileRefusal::NotADirectory => Code::NotADirectory,
        FileRefusal::PermissionDenied => Code::PermissionDenied,
        FileRefusal::NotEmpty => Code::DirectoryNotEmpty,
        FileRefusal::InvalidPath => Code::InvalidPath,
        FileRefusal::DiskFull => Code::ShellDiskFull,
        FileRefusal::InvalidArchive => Code::InvalidArchive,
        FileRefusal::NoUpload => Code::UploadNotFound,
        FileRefusal::NotTransferred => Code::TransferFailed,
        FileRefusal::Failed => Code::FileError,
    };
    let path = String::from_utf8_lossy(&path.0);
    Problem::new(code, format!("{}: {message}", path.escape_debug()))
}
