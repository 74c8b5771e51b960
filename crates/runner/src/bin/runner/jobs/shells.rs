//! Jobs that run in shells.

use std::fs::File;
use std::io;

use runner::protocol::{MAX_SHELLS, Start};

use super::Jobs;
use crate::job::{Background, Job};
use crate::shell::{Directory, Shell, ShellCommand};
use crate::spawn::{SpawnError, Users};
use crate::sys::Pid;

impl Jobs {
    /// Starts the job in the shell of this name, and that shell if there is none.
    pub(super) fn start_in_shell(
        &mut self,
        start: &Start,
        name: &str,
        files: [File; 2],
    ) -> Result<Job, SpawnError> {
        let text = match &start.argv[..] {
            [_, option, text] if option == "-c" => text,
            _ => return Err(SpawnError::Invalid("only a command line runs in a shell".to_owned())),
        };
        if text.contains('\0') {
            return Err(SpawnError::Invalid("the command contains a NUL byte".to_owned()));
        }
        if self.running.iter().any(|job| job.shell.as_ref().is_some_and(|own| own.name() == name)) {
            return Err(SpawnError::Temporary(format!("the shell {name:?} runs another command")));
        }
        if !self.directory.as_ref().is_some_and(Directory::is_there) {
            let own =
                Some(self.store.root()).filter(|_| matches!(self.defaults.users, Users::Keep));
            self.directory = Some(Directory::create(own).map_err(failed)?);
        }
        // A shell that does not take the command has not run it.
        let (shell, is_new) = self.take_shell(start, name)?;
        self.run_in_shell(shell, is_new, start, text, files)
    }

    /// The shell of this name, and whether it is new.
    fn take_shell(&mut self, start: &Start, name: &str) -> Result<(Shell, bool), SpawnError> {
        for index in (0..self.shells.len()).rev() {
            if self.shells[index].has_ended() {
                let ended = self.shells.swap_remove(index);
                self.keep_rest(ended);
            }
        }
        if let Some(index) = self.shells.iter().position(|shell| shell.identity.name == name) {
            let owner = &self.shells[index].identity.user;
            if *owner != start.user {
                let message = format!("the shell {name:?} belongs to the user {owner:?}");
                return Err(SpawnError::Invalid(message));
            }
            return Ok((self.shells.swap_remove(index), false));
        }
        let busy = self.running.iter().filter(|job| job.shell.is_some()).count();
        if self.shells.len() + busy >= MAX_SHELLS {
            let message = format!(
                "{MAX_SHELLS} shells with names are open in this session: run \"exit\" in one of them"
            );
            return Err(SpawnError::Invalid(message));
        }
        Ok((self.new_shell(start, name)?, true))
    }

    /// Where the files of commands are: there is such a directory before anything is started in a shell.
    fn directory(&self) -> Result<&Directory, SpawnError> {
        self.directory.as_ref().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    fn new_shell(&self, start: &Start, name: &str) -> Result<Shell, SpawnError> {
        Shell::spawn(start, name, self.directory()?, &self.defaults, self.cgroups.as_ref())
    }

    fn run_in_shell(
        &mut self,
        shell: Shell,
        is_new: bool,
        start: &Start,
        text: &str,
        files: [File; 2],
    ) -> Result<Job, SpawnError> {
        match ShellCommand::start(shell, is_new, start, text, self.directory()?) {
            Ok((spawned, command)) => Ok(Job::in_shell(start, spawned, command, files)),
            Err(failure) => {
                let (shell, error) = *failure;
                self.shells.push(shell);
                Err(failed(error))
            }
        }
    }

    /// Notes that a child of the runner was reaped: it may have been a shell.
    pub(super) fn remove_shell(&mut self, pid: Pid) {
        if let Some(index) = self.shells.iter().position(|shell| shell.identity.main == pid) {
            let ended = self.shells.swap_remove(index);
            self.keep_rest(ended);
        }
    }

    /// Keeps the processes that a shell has left.
    fn keep_rest(&mut self, shell: Shell) {
        let Shell { identity, members } = shell;
        if members.is_empty() {
            members.release(self.cgroups.as_mut());
        } else {
            let job_id = identity.job_id.clone();
            self.background.push(Background { job_id, members, pipes: Vec::new() });
        }
    }
}

fn failed(error: io::Error) -> SpawnError {
    SpawnError::Temporary(format!("cannot start a command in a shell: {error}"))
}
