//! Lists and signals processes of commands for one caller, in a process of its own. Which processes belong to
//! commands is what the runner knew when that process was forked.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use runner::protocol::files::encode_message;
use runner::protocol::processes::{
    MAX_ARGUMENT_BYTES, MAX_LISTED, MAX_LISTED_ARGUMENT_BYTES, ProcessAction, ProcessReply,
    RunningProcess, START_TOLERANCE_MS,
};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::stat::{Clocks, Stat};
use crate::members::Members;
use crate::sys::Pid;

/// How long the caller may take to read the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What was done with the rights of the runner.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// The processes to list, with the number of their job in the list of ids.
    List(Vec<String>, BTreeMap<Pid, usize>),
    Answer(ProcessReply),
}

/// Carries out the part of a request that needs the rights of the runner.
pub(crate) fn prepare(jobs: &[(&str, &Members)], action: ProcessAction) -> Prepared {
    match action {
        ProcessAction::List => {
            let pids = jobs.iter().enumerate();
            let pids = pids.flat_map(|(job, (_, members))| {
                members.pids().into_iter().map(move |pid| (pid, job))
            });
            let pids = pids.collect();
            Prepared::List(jobs.iter().map(|(id, _)| (*id).to_owned()).collect(), pids)
        }
        ProcessAction::Signal { pid, started_ms, signal } => {
            Prepared::Answer(match send_signal(jobs, pid, started_ms, signal) {
                Ok(reply) => reply,
                Err(Errno::SRCH) => ProcessReply::NoSuchProcess,
                Err(error) => {
                    ProcessReply::Refused { message: std::io::Error::from(error).to_string() }
                }
            })
        }
    }
}

/// Sends the answer over the connection.
pub(crate) fn answer(prepared: Prepared, connection: OwnedFd) {
    let reply = match prepared {
        Prepared::List(jobs, pids) => list(&jobs, &pids),
        Prepared::Answer(reply) => reply,
    };
    let frame = encode_message(&reply).or_else(|_| encode_message(&without_arguments(reply)));
    let mut stream = UnixStream::from(connection);
    let ready =
        stream.set_nonblocking(false).and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
    if let (Ok(()), Ok(frame)) = (ready, frame) {
        // A caller that has gone needs no answer.
        let _ = stream.write_all(&frame);
    }
}

fn send_signal(
    jobs: &[(&str, &Members)],
    pid: Pid,
    started_ms: Option<i64>,
    signal: i32,
) -> Result<ProcessReply, Errno> {
    let target = Some(pid).filter(|pid| *pid > 0).and_then(rustix::process::Pid::from_raw);
    let Some(target) = target else {
        return Ok(ProcessReply::NoSuchProcess);
    };
    let Some(signal) = Signal::from_named_raw(signal) else {
        return Ok(ProcessReply::Refused { message: format!("{signal} is not a signal number") });
    };
    let process = match pidfd_open(target, PidfdFlags::empty()) {
        // The number of a thread is not a pid.
        Err(Errno::INVAL | Errno::NOENT) => return Ok(ProcessReply::NoSuchProcess),
        opened => opened?,
    };
    // Checked after that, so that it holds for the opened process: if that has ended and another one has its
    // pid, the signal reaches none.
    if !jobs.iter().any(|(_, members)| members.pids().contains(&pid)) {
        return Ok(ProcessReply::NoSuchProcess);
    }
    if let Some(expected) = started_ms {
        let started = Stat::read(pid).map(|stat| Clocks::now().started_ms(&stat));
        if started.is_none_or(|started| started.abs_diff(expected) > START_TOLERANCE_MS) {
            return Ok(ProcessReply::NoSuchProcess);
        }
    }
    pidfd_send_signal(process, signal)?;
    Ok(ProcessReply::Signalled)
}

fn list(jobs: &[String], pids: &BTreeMap<Pid, usize>) -> ProcessReply {
    let (names, clocks) = (user_names(), Clocks::now());
    let mut bytes_left = MAX_LISTED_ARGUMENT_BYTES;
    let mut processes = Vec::new();
    let mut truncated = false;
    for (pid, job) in pids {
        // It may have ended meanwhile.
        let (Some(stat), Some(job_id)) = (Stat::read(*pid), jobs.get(*job)) else { continue };
        if processes.len() >= MAX_LISTED {
            truncated = true;
            break;
        }
        let uid = stat.uid.to_string();
        let (arguments, arguments_truncated) = arguments(*pid, MAX_ARGUMENT_BYTES.min(bytes_left));
        bytes_left -= arguments.iter().map(String::len).sum::<usize>().min(bytes_left);
        processes.push(RunningProcess {
            job_id: job_id.clone(),
            pid: *pid,
            parent_pid: stat.parent,
            user: names.get(&uid).cloned().unwrap_or(uid),
            started_ms: clocks.started_ms(&stat),
            cpu_ms: clocks.cpu_ms(&stat),
            memory_bytes: stat.resident_pages * rustix::param::page_size() as u64,
            name: stat.name,
            arguments,
            arguments_truncated,
        });
    }
    ProcessReply::Listed { processes, truncated }
}

/// The beginning of a process's arguments, at most so many bytes, and whether that is not all. A process
/// that has no arguments any more, or none that can be read, has an empty list.
fn arguments(pid: Pid, limit: usize) -> (Vec<String>, bool) {
    let mut line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let truncated = line.len() > limit;
    line.truncate(limit);
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    if line.is_empty() {
        return (Vec::new(), truncated);
    }
    let text = |argument| String::from_utf8_lossy(argument).into_owned();
    (line.split(|byte| *byte == 0).map(text).collect(), truncated)
}

/// The names of the shell's users by their numbers.
fn user_names() -> BTreeMap<String, String> {
    /// Longer names are no names of users; see useradd(8).
    const MAX_NAME_BYTES: usize = 32;
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entries = passwd.lines().rev().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid) = (fields.next()?, fields.next()?, fields.next()?);
        (name.len() <= MAX_NAME_BYTES).then(|| (uid.to_owned(), name.to_owned()))
    });
    entries.collect()
}

/// The list as it fits into a frame whatever the arguments are.
fn without_arguments(reply: ProcessReply) -> ProcessReply {
    let ProcessReply::Listed { mut processes, truncated } = reply else { return reply };
    for process in &mut processes {
        process.arguments_truncated |= !process.arguments.is_empty();
        process.arguments = Vec::new();
    }
    ProcessReply::Listed { processes, truncated }
}
