//! The cgroups of jobs, which are children of the runner's own cgroup. The cgroup of a job contains all
//! of its processes, whatever sessions and parents they have, and accounts for what they use.
//!
//! Directories of cgroups are created and removed while the runner has nothing else to do: at least one
//! empty cgroup waits for the next job. One is created only if none does, so that jobs which follow each
//! other use the same ones again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

mod job;
mod limits;

pub(crate) use job::{CgroupUsage, JobCgroup};

/// Marks the cgroups of jobs among the files of a cgroup.
const PREFIX: &str = "job.";
/// Number of cgroups of ended jobs that are kept for later ones. Each has up to nine open descriptors.
const KEPT: usize = 2;
/// Types of file systems, of statfs(2).
const CGROUP_V1: rustix::fs::FsWord = 0x0027_e0eb;
const CGROUP_V2: rustix::fs::FsWord = 0x6367_7270;

/// The runner's own cgroup.
#[derive(Debug)]
pub(crate) struct Cgroups {
    is_v2: bool,
    /// Its directory in each hierarchy; a single one on cgroup v2.
    dirs: Vec<PathBuf>,
    /// Cgroups without processes, for the next jobs.
    idle: RefCell<Vec<JobCgroup>>,
    /// Cgroups of ended jobs.
    used: RefCell<Vec<JobCgroup>>,
    /// The number in the name of the next cgroup.
    next: Cell<u64>,
    /// Whether the limits of the whole shell are set: a job has been started.
    has_limits: Cell<bool>,
    /// Has a line `NAME COUNT` for each cgroup of an ended job with out-of-memory kills. The server adds
    /// them up, because cgroup v1 forgets the count of a removed cgroup.
    oom_log: PathBuf,
}

impl Cgroups {
    /// Uses the directories of the runner's cgroup. Ends what an earlier runner left in them.
    ///
    /// # Errors
    /// The directories are not writable, or this kernel shows directories of another one: in gVisor,
    /// writing to their files would move the whole sandbox.
    pub(crate) fn open(dirs: &[PathBuf], oom_log: PathBuf) -> io::Result<Self> {
        for dir in dirs {
            let kind = rustix::fs::statfs(dir)?.f_type;
            if ![CGROUP_V1, CGROUP_V2].contains(&kind) {
                let what = format!("{} is not of this kernel's cgroups", dir.display());
                return Err(io::Error::new(io::ErrorKind::Unsupported, what));
            }
        }
        let is_v2 = dirs.iter().any(|dir| dir.join("cgroup.controllers").exists());
        let cgroups = Self {
            is_v2,
            dirs: dirs.to_vec(),
            idle: RefCell::default(),
            used: RefCell::default(),
            next: Cell::new(0),
            has_limits: Cell::new(false),
            oom_log,
        };
        for name in cgroups.leftover() {
            let job = cgroups.job(&name);
            job.kill();
            if !job.remove() {
                let number = name.strip_prefix(PREFIX).and_then(|number| number.parse().ok());
                cgroups
                    .next
                    .set(number.map_or(0, |number: u64| number + 1).max(cgroups.next.get()));
            }
        }
        let first = cgroups.new_job()?;
        cgroups.idle.borrow_mut().push(first.keep_open()?);
        Ok(cgroups)
    }

    /// Names of cgroups of jobs.
    fn leftover(&self) -> BTreeSet<String> {
        let entries = self.dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with(PREFIX)).collect()
    }

    /// A cgroup without processes, for a job.
    pub(crate) fn create(&self) -> io::Result<JobCgroup> {
        let idle = self.idle.borrow_mut().pop();
        // The job before may have ended just now, so that its cgroup was not tidied up yet.
        let empty = idle.or_else(|| self.reset_used());
        let mut job = empty.map_or_else(|| self.new_job(), Ok)?;
        // Not before: the CPU limit of the shell is set once this runner answers.
        self.has_limits.set(true);
        job.copy_limits(&self.dirs);
        Ok(job)
    }

    fn new_job(&self) -> io::Result<JobCgroup> {
        let job = self.job(&format!("{PREFIX}{}", self.next.get()));
        self.next.set(self.next.get() + 1);
        job.create()?;
        Ok(job)
    }

    fn job(&self, name: &str) -> JobCgroup {
        let dirs = self.dirs.iter().map(|dir| dir.join(name)).collect();
        JobCgroup::new(self.is_v2, dirs)
    }

    /// Takes the cgroup of a job whose processes have ended.
    pub(crate) fn take_back(&mut self, job: JobCgroup) {
        if !self.is_v2 && job.oom_kills() > 0 {
            // Before the removal, so that the server finds the count in one of the two places at any time.
            let _ = self.log_oom_kills(&job);
        }
        self.used.borrow_mut().push(job);
    }

    /// Whether [`Cgroups::tidy`] has something to do.
    pub(crate) fn is_untidy(&self) -> bool {
        !self.used.borrow().is_empty() || self.idle.borrow().is_empty()
    }

    /// Reuses or removes the cgroup of an ended job, or creates one for a later job. Called while nothing
    /// else is to be done.
    ///
    /// # Errors
    /// A cgroup can't be removed or created now.
    pub(crate) fn tidy(&mut self) -> io::Result<()> {
        if self.used.borrow().is_empty() {
            let mut job = self.new_job()?.keep_open()?;
            if self.has_limits.get() {
                job.copy_limits(&self.dirs);
            }
            self.idle.borrow_mut().push(job);
            return Ok(());
        }
        if self.idle.borrow().len() < KEPT
            && let Some(job) = self.reset_used()
        {
            self.idle.borrow_mut().push(job);
            return Ok(());
        }
        let all_used = self.used.get_mut();
        if let Some(used) = all_used.pop()
            && !used.remove()
        {
            all_used.insert(0, used);
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        Ok(())
    }

    /// The cgroup of the job that has ended last, if it can be used again.
    fn reset_used(&self) -> Option<JobCgroup> {
        self.used.borrow_mut().pop_if(|used| used.oom_kills() == 0 && used.reset())
    }

    fn log_oom_kills(&self, job: &JobCgroup) -> io::Result<()> {
        let mut log = File::options().create(true).append(true).open(&self.oom_log)?;
        log.write_all(format!("{} {}\n", job.name(), job.oom_kills()).as_bytes())
    }
}
