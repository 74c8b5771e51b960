//! Stores jobs in one directory per job id, with the files `stdout`, `stderr` and `exit`. The
//! directory exists if the id was seen; creating it is the claim to run the job and succeeds only once.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use runner::protocol::{Exit, Stream};
use rustix::fs::FlockOperation;

/// Size of the file that a claim reserves, so that a job's exit can be recorded even on a full disk.
const EXIT_BYTES: usize = 4096;

#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    /// An exclusive flock(2), held while this process lives: two runners on one directory would run a
    /// job twice.
    _lock: File,
}

impl Store {
    /// # Errors
    /// `WouldBlock` if another runner uses the directory.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let lock = File::open(root)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// The directory of all jobs. A name with a dot in it is not one of a job.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Creates the job's directory; false if the id was seen before.
    pub(crate) fn claim(&self, job_id: &str) -> io::Result<bool> {
        match DirBuilder::new().mode(0o700).create(self.job(job_id)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            made => made?,
        }
        let reserved = fs::write(self.file(job_id, "exit.next"), [b' '; EXIT_BYTES]);
        reserved.inspect_err(|_| self.forget(job_id))?;
        Ok(true)
    }

    /// Removes the claim of a job that never ran.
    pub(crate) fn forget(&self, job_id: &str) {
        // If this fails, the id stays claimed without an exit: it is reported as lost and never runs.
        let _ = fs::remove_dir_all(self.job(job_id));
    }

    pub(crate) fn seen(&self, job_id: &str) -> bool {
        self.job(job_id).exists()
    }

    pub(crate) fn create_output(&self, job_id: &str, stream: Stream) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(self.file(job_id, name(stream)))
    }

    /// `None` if the file was never created or the job was released.
    pub(crate) fn open_output(&self, job_id: &str, stream: Stream) -> Option<File> {
        File::open(self.file(job_id, name(stream))).ok()
    }

    /// The job's exit; `None` if the job runs, or if an earlier runner died while it ran.
    pub(crate) fn exit(&self, job_id: &str) -> Option<Exit> {
        let bytes = fs::read(self.file(job_id, "exit")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Records the exit atomically, in the file that the claim reserved.
    pub(crate) fn record_exit(&self, job_id: &str, exit: &Exit) -> io::Result<()> {
        let next = self.file(job_id, "exit.next");
        OpenOptions::new().write(true).open(&next)?.write_all_at(&serde_json::to_vec(exit)?, 0)?;
        fs::rename(next, self.file(job_id, "exit"))
    }

    /// Deletes everything of the job except its directory and its exit.
    pub(crate) fn release(&self, job_id: &str) {
        for name in ["stdout", "stderr"] {
            // Fails if the file does not exist; any other failure costs only disk space.
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
