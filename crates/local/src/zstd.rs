//! zstd for archives, in the server: the runner, which is in every shell, does not carry a coder for it.
//!
//! Neither direction holds more than a window and some pieces, whatever a client sends and however slowly it
//! reads: each piece is passed on before the next one is taken.

use std::{collections::HashMap, io, sync::Arc};

use async_trait::async_trait;
use domain::{
    UserId,
    file::{FileRefusal, FileReply, FilesDone},
    ports::{BackendError, FileTransfer, FilesError, Zstd},
};
use parking_lot::Mutex;
use zstd::{
    stream::{
        raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer},
        write::Encoder,
    },
    zstd_safe::CParameter,
};

#[cfg(test)]
mod tests;

/// The fastest level of those that have a number above zero, as for gzip.
const LEVEL: i32 = 1;
/// The largest window of an archive that is sent, as a power of two: 8 MiB, which RFC 8878 wants decoders to
/// support, and which is that of `zstd -19`.
const MAX_WINDOW_LOG: u32 = 23;
/// How much is decompressed before it is passed on. Bytes.
const PIECE: usize = 128 << 10;
/// Transfers at once, of all sessions. Each may hold a window.
const MAX_TRANSFERS: usize = 32;
/// Of these, the transfers of one user.
const MAX_TRANSFERS_OF_USER: usize = 8;

/// [`Zstd`] by the library of that name.
#[derive(Default)]
pub(crate) struct LibZstd {
    /// The transfers of each user that has any.
    users: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// One of the transfers at once, until it is dropped.
struct Place {
    user: UserId,
    users: Arc<Mutex<HashMap<UserId, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = self.users.lock();
        if let Some(count) = users.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.user);
            }
        }
    }
}

impl LibZstd {
    fn place(&self, user: &UserId) -> Result<Place, FilesError> {
        let mut users = self.users.lock();
        let all: usize = users.values().sum();
        let own = users.get(user).copied().unwrap_or(0);
        if all >= MAX_TRANSFERS || own >= MAX_TRANSFERS_OF_USER {
            return Err(FilesError::TooMany);
        }
        users.insert(user.clone(), own + 1);
        Ok(Place { user: user.clone(), users: Arc::clone(&self.users) })
    }
}

impl Zstd for LibZstd {
    fn compress(
        &self,
        user: &UserId,
        transfer: Box<dyn FileTransfer>,
    ) -> Result<Box<dyn FileTransfer>, FilesError> {
        let place = self.place(user)?;
        let mut encoder = Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
        encoder.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed)?;
        Ok(Box::new(Compressed { transfer, encoder: Some(encoder), done: None, _place: place }))
    }

    fn decompress(
        &self,
        user: &UserId,
        transfer: Box<dyn FileTransfer>,
    ) -> Result<Box<dyn FileTransfer>, FilesError> {
        let place = self.place(user)?;
        let mut decoder = Decoder::new().map_err(failed)?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(failed)?;
        Ok(Box::new(Decompressed {
            transfer,
            decoder,
            out: Vec::with_capacity(PIECE),
            is_between_frames: false,
            error: None,
            _place: place,
        }))
    }
}

/// A transfer whose pieces from the shell are compressed.
struct Compressed {
    transfer: Box<dyn FileTransfer>,
    /// Until the shell is done.
    encoder: Option<Encoder<'static, Vec<u8>>>,
    /// What the shell has told, after the last piece.
    done: Option<FilesDone>,
    _place: Place,
}

#[async_trait]
impl FileTransfer for Compressed {
    async fn next(&mut self) -> Result<FileReply, FilesError> {
        if let Some(done) = self.done.take() {
            return Ok(FileReply::Done(done));
        }
        loop {
            let reply = self.transfer.next().await?;
            if let Some(reply) = self.compress(reply).map_err(failed)? {
                return Ok(reply);
            }
        }
    }

    async fn ask(&mut self, offset: u64, length: u64) -> Result<(), FilesError> {
        self.transfer.ask(offset, length).await
    }

    async fn send(&mut self, piece: &[u8]) -> Result<(), FilesError> {
        self.transfer.send(piece).await
    }

    async fn finish(&mut self) -> Result<(), FilesError> {
        self.transfer.finish().await
    }
}

impl Compressed {
    /// The reply for the client; `None` while the encoder gathers bytes.
    fn compress(&mut self, reply: FileReply) -> io::Result<Option<FileReply>> {
        let piece = match (reply, &mut self.encoder) {
            (FileReply::Piece(piece), Some(encoder)) => {
                io::Write::write_all(encoder, &piece)?;
                std::mem::take(encoder.get_mut())
            }
            (FileReply::Done(done), encoder @ Some(_)) => {
                self.done = Some(done);
                encoder.take().map(Encoder::finish).transpose()?.unwrap_or_default()
            }
            (reply, _) => return Ok(Some(reply)),
        };
        Ok((!piece.is_empty()).then_some(FileReply::Piece(piece)))
    }
}

/// A transfer whose pieces to the shell are decompressed first.
struct Decompressed {
    transfer: Box<dyn FileTransfer>,
    decoder: Decoder<'static>,
    /// The bytes that are passed on next.
    out: Vec<u8>,
    /// Whether everything that was sent is complete frames, and at least one.
    is_between_frames: bool,
    /// Why no more is taken.
    error: Option<FilesError>,
    _place: Place,
}

#[async_trait]
impl FileTransfer for Decompressed {
    async fn next(&mut self) -> Result<FileReply, FilesError> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.transfer.next().await,
        }
    }

    async fn ask(&mut self, offset: u64, length: u64) -> Result<(), FilesError> {
        self.transfer.ask(offset, length).await
    }

    async fn send(&mut self, piece: &[u8]) -> Result<(), FilesError> {
        let mut input = InBuffer::around(piece);
        while input.pos() < piece.len() || self.out.len() == self.out.capacity() {
            if let Err(reason) = self.decompress(&mut input) {
                return Err(self.refuse(reason));
            }
            if !self.out.is_empty() {
                self.transfer.send(&self.out).await?;
            }
            if self.is_between_frames {
                // The decoder has nothing left, also if the buffer happens to be full.
                self.out.clear();
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), FilesError> {
        if !self.is_between_frames {
            return Err(self.refuse("it ends within a frame of zstd".to_owned()));
        }
        self.transfer.finish().await
    }
}

impl Decompressed {
    /// Decompresses the next bytes.
    ///
    /// # Errors
    /// Why the archive is refused.
    fn decompress(&mut self, input: &mut InBuffer<'_>) -> Result<(), String> {
        self.out.clear();
        let hint =
            self.decoder.run(input, &mut OutBuffer::around(&mut self.out)).map_err(|error| {
                format!("it is not zstd, is damaged, or needs a window of more than 8 MiB: {error}")
            })?;
        self.is_between_frames = hint == 0;
        Ok(())
    }

    /// Takes no more for this reason, which [`FileTransfer::next`] tells.
    fn refuse(&mut self, reason: String) -> FilesError {
        let message = format!("the archive can't be unpacked: {reason}");
        self.error = Some(FilesError::Refused(FileRefusal::InvalidArchive, message));
        FilesError::Interrupted
    }
}

fn failed(error: io::Error) -> FilesError {
    BackendError::new("compressing an archive by zstd", error).into()
}
