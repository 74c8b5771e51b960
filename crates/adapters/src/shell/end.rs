//! Converts the runner's report of a command's end into the domain's.

use domain::{
    Secret,
    job::{BackgroundProcess, Exit, ShellUse, Usage},
    ports::{CommandEnd, EndCause, Stream},
};
use runner::protocol::{self, Cause, Ended};

const SIGKILL: i32 = 9;
/// The exit code of a shell whose child was ended by SIGKILL.
const CHILD_KILLED: i32 = 128 + SIGKILL;

pub(crate) const fn stream(stream: protocol::Stream) -> Stream {
    match stream {
        protocol::Stream::Stdout => Stream::Stdout,
        protocol::Stream::Stderr => Stream::Stderr,
    }
}

/// The domain's report. `memory_kill` says whether the kernel killed a process of the task for memory
/// while the command ran: to the runner that kill is a SIGKILL like any other.
pub(crate) fn command_end(end: protocol::Exit, memory_kill: impl Fn() -> bool) -> CommandEnd {
    // A runner that counts the kills of the job itself has already named the cause.
    let memory_kill = || end.usage.oom_kills.is_none() && memory_kill();
    let (cause, exit) = match end.cause {
        Cause::Exited { code: CHILD_KILLED } if memory_kill() => {
            (EndCause::OutOfMemory, Some(Exit::Code(CHILD_KILLED)))
        }
        Cause::Exited { code } => (EndCause::Exited, Some(Exit::Code(code))),
        Cause::Signalled { signal: SIGKILL } if memory_kill() => {
            (EndCause::OutOfMemory, Some(Exit::Signal(SIGKILL)))
        }
        Cause::Signalled { signal } => (EndCause::Exited, Some(Exit::Signal(signal))),
        Cause::TimedOut { ended } => (EndCause::TimedOut, Some(exit(ended))),
        Cause::Cancelled { ended } => (EndCause::Cancelled, ended.map(exit)),
        Cause::Interrupted { ended } => (EndCause::Shutdown, Some(exit(ended))),
        Cause::OomKilled => (EndCause::OutOfMemory, Some(Exit::Signal(SIGKILL))),
        Cause::NotFound { message } => (EndCause::NotFound(message), None),
        Cause::SpawnFailed { message, not_executable: true } => {
            (EndCause::NotExecutable(message), None)
        }
        Cause::SpawnFailed { message, not_executable: false } => {
            (EndCause::SpawnFailed(message), None)
        }
        Cause::Lost => (EndCause::Unknown, None),
    };
    let protocol::Usage { wall_ms, cpu_ms, max_rss_bytes, memory_peak_bytes, oom_kills } =
        end.usage;
    CommandEnd {
        cause,
        exit,
        stdout_written: end.stdout.bytes,
        stderr_written: end.stderr.bytes,
        usage: Usage {
            wall_ms,
            cpu_ms,
            max_rss_bytes,
            memory_peak_bytes,
            oom_kills: oom_kills.unwrap_or_default(),
            leftover_processes: end.leftover.into(),
        },
        background: end.background.into_iter().map(background).collect(),
        shell: end.shell.map(|shell| ShellUse { is_new: shell.is_new, has_ended: shell.has_ended }),
    }
}

fn background(process: protocol::Process) -> BackgroundProcess {
    BackgroundProcess { pid: process.pid, command: Secret::new(process.command) }
}

const fn exit(ended: Ended) -> Exit {
    match ended {
        Ended::Code(code) => Exit::Code(code),
        Ended::Signal(signal) => Exit::Signal(signal),
    }
}
