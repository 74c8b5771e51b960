//! Shells whose state survives from one command to the next.
//!
//! Such a shell reads what it is to do from a named pipe, its script: it reads the command of a job from a
//! file, with the named pipes of that job as its standard streams, and then writes the command's exit code to
//! another named pipe. Everything has a path, because a shell can open paths but can't receive descriptors.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use runner::protocol::Start;

use crate::cgroup::Cgroups;
use crate::members::Members;
use crate::spawn::{self, Defaults, SpawnError};
use crate::sys::{self, Pid};

mod command;
mod directory;

pub(crate) use command::ShellCommand;
pub(crate) use directory::Directory;

/// The exit code of a command that was given up because of SIGINT.
const INTERRUPTED: i32 = 128 + libc::SIGINT;

/// The first lines of every script. SIGINT gives up the command that runs, with everything that it still has to
/// do, and keeps the shell. In bash a trap can only return from the function that it has interrupted, so that
/// all of its callers are made to return as well, by the trap that runs before each of their commands. With
/// `command`, a `return` outside of a function does not end a shell with the option `posix`. In other shells an
/// error gives the command up.
const PRELUDE: &str = r#"if [ -n "$BASH_VERSION" ]; then
shopt -s expand_aliases
trap '_interrupted=1; set -T; trap "\command return 130" DEBUG; \command return 130' INT
else
trap '{ : $((1/0)); } 2>/dev/null' INT
fi
"#;
/// Removes what SIGINT has left in bash, whoever sent it and whenever: otherwise no later command would run.
const AFTER_INTERRUPT: &str = "[ -z \"${_interrupted-}\" ] || { \\command trap - DEBUG; \\command set +T; \
                               \\command unset -v _interrupted; }\n";

/// A shell in which no command runs.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) identity: Identity,
    pub(crate) members: Members,
}

/// What a shell keeps while a command runs in it.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) user: String,
    /// The job that has started it.
    pub(crate) job_id: String,
    pub(crate) main: Pid,
    /// The shell reads from its other end. This process holds that end too, so that writing never fails
    /// because the shell has not opened it yet, or has ended.
    script: File,
    script_path: PathBuf,
    /// The exit code of the last command.
    last_code: i32,
}

impl Shell {
    /// Starts a shell for this job, whose program is the shell.
    pub(crate) fn spawn(
        start: &Start,
        name: &str,
        directory: &Directory,
        defaults: &Defaults,
        cgroups: Option<&Cgroups>,
    ) -> Result<Self, SpawnError> {
        let failed =
            |error: io::Error| SpawnError::Temporary(format!("cannot start a shell: {error}"));
        let (script, script_path) = directory.script().map_err(failed)?;
        let program = start.argv.first().cloned().unwrap_or_default();
        let argv = vec![program, script_path.to_string_lossy().into_owned()];
        let shell = Start { argv, background: true, merge: false, ..start.clone() };
        let spawned = (&script).write_all(PRELUDE.as_bytes()).map_err(failed);
        let spawned = spawned.and_then(|()| spawn::spawn_shell(&shell, defaults, cgroups));
        let (main, members) = spawned.inspect_err(|_| directory::remove(&script_path))?;
        let identity = Identity {
            name: name.to_owned(),
            user: start.user.clone(),
            job_id: start.job_id.clone(),
            main,
            script,
            script_path,
            last_code: 0,
        };
        Ok(Self { identity, members })
    }

    /// Whether the supervisor has reported the end of the shell, or has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.members.report().is_some() || self.members.has_no_supervisor()
    }

    /// Ends a shell that does not read its script any more.
    pub(crate) fn kill(&self) {
        sys::signal(self.identity.main, libc::SIGKILL);
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        directory::remove(&self.script_path);
    }
}

impl Identity {
    /// Makes the shell run the command in these files. At once and completely, or not at all.
    fn send(&self, paths: &directory::Paths<'_>, merge: bool) -> io::Result<()> {
        let mut lines = AFTER_INTERRUPT.to_owned();
        if self.last_code != 0 {
            // Sets `$?`. An exit code in such a list does not end a shell with the option -e.
            lines.push_str(&format!("(exit {}) && :\n", self.last_code));
        }
        let stderr = match merge {
            true => "2>&1".to_owned(),
            false => format!("2>{}", quoted(paths.stderr)),
        };
        // `command` keeps a shell like dash alive if the text has a syntax error, and finds no function of that
        // name; the backslash prevents an alias.
        lines.push_str(&format!(
            "\\command . {} <{} >{} {stderr}\n\\command echo \"$?\" >{} || \\exit\n",
            quoted(paths.command),
            quoted(paths.stdin),
            quoted(paths.stdout),
            quoted(paths.end),
        ));
        // A pipe takes so few bytes at once or not at all: see pipe(7).
        debug_assert!(lines.len() <= libc::PIPE_BUF, "a write may be split");
        let count = (&self.script).write(lines.as_bytes())?;
        if count < lines.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }
}

/// The path as a word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}
