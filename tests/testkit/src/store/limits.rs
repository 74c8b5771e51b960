//! The limits that a transaction may require.

use domain::{
    SessionId, UserId,
    command::{Command, Program},
    job::Job,
    ports::{CommitError, QueueLimits, RunLimits, StorageLimits, Stream},
};

use super::State;

impl State {
    pub(super) fn check_storage(
        &self,
        user: &UserId,
        session: SessionId,
        bytes: u64,
        limits: StorageLimits,
    ) -> Result<(), CommitError> {
        if self.disk_full {
            return Err(CommitError::DiskFull);
        }
        let of_session = self.stored_by(|job| job.common().session == session);
        let of_user = self.stored_by(|job| job.common().user == *user);
        if of_session + bytes > limits.session || of_user + bytes > limits.user {
            return Err(CommitError::StorageExceeded);
        }
        Ok(())
    }

    pub(super) fn check_queue_room(
        &self,
        session: SessionId,
        bytes: u64,
        limits: QueueLimits,
    ) -> Result<(), CommitError> {
        let open = self.jobs.values().filter(|found| {
            let job = &found.value;
            job.common().session == session && job.command().is_some() && job.due_at().is_some()
        });
        let sizes: Vec<u64> =
            open.map(|found| self.commands.get(&found.value.id()).map_or(0, size)).collect();
        let is_full = sizes.len() as u64 >= limits.jobs.into();
        if is_full || sizes.iter().sum::<u64>() + bytes > limits.bytes {
            return Err(CommitError::QueueFull);
        }
        Ok(())
    }

    pub(super) fn check_run_room(
        &self,
        user: &UserId,
        session: SessionId,
        limits: RunLimits,
    ) -> Result<(), CommitError> {
        let running = || {
            let jobs = self.jobs.values().map(|found| &found.value);
            jobs.filter(|job| matches!(job, Job::Running(_)))
        };
        let of_user = running().filter(|job| job.common().user == *user).count();
        let of_session = running().filter(|job| job.common().session == session).count();
        if of_user as u64 >= limits.user.into() || of_session as u64 >= limits.session.into() {
            return Err(CommitError::TooManyRunning);
        }
        Ok(())
    }

    /// The output and the commands of these jobs.
    fn stored_by(&self, is_counted: impl Fn(&Job) -> bool) -> u64 {
        let jobs = self.jobs.values().map(|found| &found.value).filter(|job| is_counted(job));
        jobs.map(|job| {
            let output = [Stream::Stdout, Stream::Stderr]
                .iter()
                .filter_map(|stream| self.output.get(&(job.id(), *stream)))
                .map(|bytes| bytes.len() as u64);
            output.sum::<u64>() + self.commands.get(&job.id()).map_or(0, size)
        })
        .sum()
    }
}

fn size(command: &Command) -> u64 {
    let program = match command.program.expose() {
        Program::Shell(line) => line.len(),
        Program::Argv(argv) => argv.iter().map(String::len).sum(),
        Program::LoginShell => 0,
    };
    let env = command.env.expose().iter().map(|(name, value)| name.len() + value.len());
    (program + command.stdin.expose().len() + env.sum::<usize>()) as u64
}
