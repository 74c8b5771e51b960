//! A cgroup for a runner, as a server creates it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A cgroup in each hierarchy that has a limit. Removed when dropped.
pub(crate) struct Cgroup {
    pub(crate) dirs: Vec<PathBuf>,
}

impl Cgroup {
    /// Returns `None` and prints the reason where this process can't create cgroups.
    pub(crate) fn create(unique: &TempDir) -> Option<Self> {
        let name = unique.path().file_name().unwrap().to_str().unwrap();
        let name = format!("runner-test-{}", name.trim_start_matches('.'));
        let top = Path::new("/sys/fs/cgroup");
        let is_v2 = top.join("cgroup.controllers").exists();
        let hierarchies: Vec<PathBuf> = if is_v2 {
            let _ = fs::write(top.join("cgroup.subtree_control"), "+memory +pids +cpu");
            vec![top.to_owned()]
        } else {
            ["memory", "pids", "cpu", "cpuacct"].map(|name| top.join(name)).into()
        };
        let dirs: Vec<PathBuf> = hierarchies.iter().map(|dir| dir.join(&name)).collect();
        let cgroup = Self { dirs };
        for dir in &cgroup.dirs {
            if let Err(error) = fs::create_dir(dir) {
                println!("SKIPPED: failed to create a cgroup: {error}");
                return None;
            }
        }
        if is_v2 {
            fs::write(cgroup.dirs[0].join("cgroup.subtree_control"), "+memory +pids +cpu").unwrap();
        }
        Some(cgroup)
    }

    /// Limits the memory of all jobs together.
    pub(crate) fn limit_memory(&self, bytes: u64) {
        let files = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max"];
        let files = files.iter().flat_map(|file| self.dirs.iter().map(move |dir| dir.join(file)));
        files
            .filter(|file| file.exists())
            .for_each(|file| fs::write(file, bytes.to_string()).unwrap());
    }

    /// The pids in the cgroups of jobs.
    pub(crate) fn processes_of_jobs(&self) -> String {
        let jobs = self.jobs().into_iter();
        let files = jobs.flat_map(|job| self.dirs.iter().map(move |dir| dir.join(&job)));
        files.map(|job| fs::read_to_string(job.join("cgroup.procs")).unwrap_or_default()).collect()
    }

    /// The names of the cgroups of jobs.
    pub(crate) fn jobs(&self) -> Vec<String> {
        let entries = self.dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap());
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("job.")).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for dir in &self.dirs {
            let children = fs::read_dir(dir).into_iter().flatten().flatten();
            children.for_each(|child| _ = fs::remove_dir(child.path()));
            let _ = fs::remove_dir(dir);
        }
    }
}
