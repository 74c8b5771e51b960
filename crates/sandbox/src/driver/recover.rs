//! What a predecessor left in the directory, however it ended.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex};

use super::pool::Work;
use super::{Inner, Task, guard, launch};
use crate::task::{Status, TaskId};

impl Inner {
    /// Takes up what a predecessor left.
    pub(super) fn recover(&self) -> io::Result<()> {
        for record in self.records.load()? {
            let id = record.facts.id.clone();
            self.tasks().insert(id, Arc::new(Mutex::new(Task { record, init: None })));
        }
        let known: Vec<TaskId> = self.tasks().keys().cloned().collect();
        self.sweep(&known)?;
        for id in known {
            self.take_up(&id);
        }
        Ok(())
    }

    fn take_up(&self, id: &TaskId) {
        let Some(task) = self.task(id) else { return };
        let mut task = guard(&task);
        let found = task.record.init.as_ref().and_then(launch::open_process);
        match (task.record.facts.last_status, found) {
            (Status::Stopped, _) => return,
            // Started or not, nobody can have used it: whatever is there makes way for a new one.
            (Status::Provisioning, _) => self.pool.push(Work::Launch(id.clone())),
            (Status::Running | Status::Stopping, None) => self.pool.push(Work::End(id.clone())),
            (Status::Running, Some(init)) => {
                self.watch.add(id, &init);
                task.init = Some(init);
            }
            (Status::Stopping, Some(init)) => {
                self.watch.add(id, &init);
                task.init = Some(init);
                self.terminate(&mut task);
            }
        }
        let facts = task.record.facts.clone();
        drop(task);
        (self.report)(facts);
    }

    /// Removes directories and control groups of tasks that have no record.
    fn sweep(&self, known: &[TaskId]) -> io::Result<()> {
        let dirs = fs::read_dir(&self.config.root)?;
        let dirs = dirs.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let found: Vec<TaskId> = dirs.chain(self.cgroups.present()).collect();
        for id in found.iter().filter(|id| !known.contains(id)) {
            self.demolish(id)?;
        }
        Ok(())
    }
}
