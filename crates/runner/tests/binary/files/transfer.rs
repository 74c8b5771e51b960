//! The caller's side of a transfer.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use runner::protocol::files::{
    self, Bytes, Done, Entry, FileAction, FileError, FileRequest, FrameKind, FromCaller,
    HEAD_BYTES, Reply, piece_head,
};
use runner::protocol::{Message, Request};
use tempfile::TempDir;

use crate::shell::{Shell, sh};

/// A connection that a process has taken over.
pub(super) struct Transfer(pub(super) UnixStream);

impl Transfer {
    pub(super) fn open(shell: &Shell, action: FileAction, path: impl AsRef<Path>) -> Self {
        Self::request(shell, action, path.as_ref().as_os_str().as_encoded_bytes(), 60_000)
    }

    pub(super) fn request(shell: &Shell, action: FileAction, path: &[u8], idle_ms: u64) -> Self {
        let mut stream = UnixStream::connect(shell.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let user = sh("job", "").user;
        let path = Bytes(path.to_vec());
        let request = Request::Files(FileRequest { user, path, action, idle_ms });
        stream.write_all(&request.encode().unwrap()).unwrap();
        Self(stream)
    }

    pub(super) fn frame(&mut self) -> Option<(FrameKind, Vec<u8>)> {
        let mut head = [0; HEAD_BYTES];
        self.0.read_exact(&mut head).ok()?;
        let (kind, length) = files::read_head(head).unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some((kind, body))
    }

    pub(super) fn reply(&mut self) -> Reply {
        let (kind, body) = self.frame().expect("a reply");
        assert_eq!(kind, FrameKind::Message);
        files::decode_message(&body).unwrap()
    }

    /// The next reply unless it is a failure.
    pub(super) fn success(&mut self) -> Result<Reply, FileError> {
        let reply = self.reply();
        if let Reply::Failed { error, .. } = reply { Err(error) } else { Ok(reply) }
    }

    pub(super) fn failure(mut self) -> FileError {
        self.success().unwrap_err()
    }

    pub(super) fn piece(&mut self, bytes: &[u8]) {
        self.0.write_all(&piece_head(bytes.len())).unwrap();
        self.0.write_all(bytes).unwrap();
    }

    pub(super) fn message(&mut self, message: FromCaller) {
        self.0.write_all(&files::encode_message(&message).unwrap()).unwrap();
    }

    pub(super) fn pieces(&mut self) -> (Vec<u8>, Option<Reply>) {
        let mut bytes = Vec::new();
        while let Some((kind, body)) = self.frame() {
            match kind {
                FrameKind::Piece => bytes.extend(body),
                FrameKind::Message => {
                    return (bytes, Some(files::decode_message(&body).unwrap()));
                }
                FrameKind::Event => panic!("an event"),
            }
        }
        (bytes, None)
    }
}

pub(super) fn write(shell: &Shell, path: &Path, content: &[u8]) -> Result<Done, FileError> {
    send(Transfer::open(shell, FileAction::Write { mode: None }, path), content)
}

pub(super) fn unpack(shell: &Shell, path: &Path, archive: &[u8]) -> Result<Done, FileError> {
    send(Transfer::open(shell, FileAction::Unpack { gzip: false }, path), archive)
}

pub(super) fn send(mut transfer: Transfer, content: &[u8]) -> Result<Done, FileError> {
    assert_eq!(transfer.success()?, Reply::Ready);
    content.chunks(files::MAX_PIECE_BYTES).for_each(|piece| transfer.piece(piece));
    transfer.message(FromCaller::End);
    loop {
        if let Reply::Done(done) = transfer.success()? {
            return Ok(done);
        }
    }
}

pub(super) fn read(shell: &Shell, path: &Path) -> Result<Vec<u8>, FileError> {
    let mut transfer = Transfer::open(shell, FileAction::Read, path);
    let found = transfer.success()?;
    let Reply::Found(attributes) = found else { panic!("{found:?}") };
    transfer.message(FromCaller::Send { offset: 0, length: attributes.size });
    let (bytes, end) = transfer.pieces();
    assert!(matches!(end, Some(Reply::Done(_))), "{end:?}");
    Ok(bytes)
}

pub(super) fn list(shell: &Shell, path: &Path, depth: u32, limit: u32) -> (Vec<Entry>, Done) {
    let mut transfer = Transfer::open(shell, FileAction::List { depth, limit }, path);
    let mut all = Vec::new();
    loop {
        match transfer.reply() {
            Reply::Entries { entries } => all.extend(entries),
            Reply::Done(done) => return (all, done),
            other @ (Reply::Found(_) | Reply::Ready | Reply::Failed { .. }) => panic!("{other:?}"),
        }
    }
}

pub(super) fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.path.0).into_owned()).collect()
}

/// A directory in which the user of commands may write.
pub(super) fn directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    open_to_all(dir.path());
    dir
}

pub(super) fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
}

pub(super) fn content(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "it never happened");
        std::thread::yield_now();
    }
}
