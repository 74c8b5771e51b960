//! One directory per job id: `spec`, `stdout`, `stderr`, `exit`. That it exists means that the id
//! was seen; making it is the claim to run the job, and nothing ever makes it twice.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use runner::protocol::{Exit, Start, Stream};
use rustix::fs::FlockOperation;

/// Room for any exit, reserved by the claim: the end of a job can be recorded on a full disk.
const EXIT_BYTES: usize = 4096;

#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    /// Held while this process lives: two runners on one directory would run a job twice.
    _lock: File,
}

impl Store {
    /// # Errors
    /// `WouldBlock` if another runner has the directory.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let lock = File::open(root)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// Makes the job's directory. False if the id was seen before.
    pub(crate) fn claim(&self, job_id: &str) -> io::Result<bool> {
        match DirBuilder::new().mode(0o700).create(self.job(job_id)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            made => made?,
        }
        let reserved = fs::write(self.file(job_id, "exit.next"), [b' '; EXIT_BYTES]);
        reserved.inspect_err(|_| self.forget(job_id))?;
        Ok(true)
    }

    /// Undoes a claim of which nothing ran.
    pub(crate) fn forget(&self, job_id: &str) {
        // Failing leaves the id claimed without an exit: read as lost, and never run.
        let _ = fs::remove_dir_all(self.job(job_id));
    }

    pub(crate) fn seen(&self, job_id: &str) -> bool {
        self.job(job_id).exists()
    }

    /// Before the spawn. Holds secrets of the command; readable by root only, gone with release.
    pub(crate) fn write_spec(&self, start: &Start) -> io::Result<()> {
        fs::write(self.file(&start.job_id, "spec"), serde_json::to_vec(start)?)
    }

    pub(crate) fn create_output(&self, job_id: &str, stream: Stream) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(self.file(job_id, name(stream)))
    }

    /// `None` if it was never made or is released.
    pub(crate) fn open_output(&self, job_id: &str, stream: Stream) -> Option<File> {
        File::open(self.file(job_id, name(stream))).ok()
    }

    /// How the job ended; `None` if it runs, or if the runner died while it did.
    pub(crate) fn exit(&self, job_id: &str) -> Option<Exit> {
        let bytes = fs::read(self.file(job_id, "exit")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whole or not at all, in the room that the claim reserved.
    pub(crate) fn record_exit(&self, job_id: &str, exit: &Exit) -> io::Result<()> {
        let next = self.file(job_id, "exit.next");
        OpenOptions::new().write(true).open(&next)?.write_all_at(&serde_json::to_vec(exit)?, 0)?;
        fs::rename(next, self.file(job_id, "exit"))
    }

    /// Deletes all but the id and its exit.
    pub(crate) fn release(&self, job_id: &str) {
        for name in ["spec", "stdout", "stderr"] {
            // Gone already, or in the way of nothing but disk space.
            let _ = fs::remove_file(self.file(job_id, name));
        }
    }

    fn job(&self, job_id: &str) -> PathBuf {
        self.root.join(job_id)
    }

    fn file(&self, job_id: &str, name: &str) -> PathBuf {
        self.job(job_id).join(name)
    }
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}
