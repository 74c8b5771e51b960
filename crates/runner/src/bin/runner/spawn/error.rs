//! Explains why a command could not be started.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use runner::protocol::Start;
use rustix::fs::{Mode, OFlags};

use super::SHELL;
use super::child::{Report, Step};
use super::plan::Plan;

/// A command could not be started; nothing ran.
#[derive(Debug)]
pub(crate) enum SpawnError {
    NotFound(String),
    /// The program exists but can't be executed.
    NotExecutable(String),
    /// The same request would fail again.
    Invalid(String),
    /// Processes, memory or descriptors were missing; the same request may succeed later.
    Temporary(String),
}

pub(super) fn temporary(error: impl Into<io::Error>) -> SpawnError {
    SpawnError::Temporary(format!("cannot start a process: {}", error.into()))
}

pub(super) fn invalid(message: &str) -> SpawnError {
    SpawnError::Invalid(message.to_owned())
}

/// The meaning of a child's report.
pub(super) fn of_report(report: &Report, plan: &Plan, start: &Start) -> SpawnError {
    let error = &report.error;
    if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM)) {
        return temporary(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0)));
    }
    let failed = |action: &str| SpawnError::Invalid(format!("{action}: {error}"));
    match report.step {
        Step::Setup => failed("cannot set up the process"),
        Step::Privileges => failed("cannot drop privileges"),
        // The shell has as many terminals as it may have; one is free again when a program ends.
        Step::Terminal if error.raw_os_error() == Some(libc::ENOSPC) => {
            SpawnError::Temporary("too many terminals are open in this shell".to_owned())
        }
        Step::Terminal => failed("cannot open a terminal"),
        Step::Directory => {
            let directory = plan.directories.first().map(|dir| dir.to_string_lossy());
            failed(&format!("cannot enter the working directory {}", directory.unwrap_or_default()))
        }
        Step::Exec | Step::Interpreter | Step::Shell => exec_error(report, plan, start),
    }
}

fn exec_error(report: &Report, plan: &Plan, start: &Start) -> SpawnError {
    let program = start.argv.first().map(String::as_str).unwrap_or_default();
    let path = path(report, plan);
    let shown = path.display();
    match report.error.raw_os_error() {
        Some(_) if report.step == Step::Interpreter => {
            // This process may not be allowed to read the file.
            let name = interpreter(&path).map(|name| format!(" {name}")).unwrap_or_default();
            SpawnError::NotExecutable(format!(
                "cannot execute {shown}: its interpreter{name} does not exist"
            ))
        }
        Some(libc::ENOENT) if report.step == Step::Shell => SpawnError::NotExecutable(format!(
            "cannot execute {shown}: it has no #! line, and this image has no {SHELL}"
        )),
        Some(libc::ENOENT) if program == "sh" => SpawnError::NotFound(format!(
            "this image has no {SHELL}: send an array of the program and its arguments"
        )),
        Some(libc::ENOENT) => SpawnError::NotFound(format!("no such program: {program}")),
        Some(libc::EACCES) if path.is_dir() => {
            SpawnError::NotExecutable(format!("cannot execute {shown}: it is a directory"))
        }
        Some(libc::EACCES) => SpawnError::NotExecutable(format!(
            "cannot execute {shown}: permission denied; is it executable for this user?"
        )),
        Some(libc::ENOEXEC) => SpawnError::NotExecutable(format!(
            "cannot execute {shown}: it is not a program for this machine"
        )),
        _ => SpawnError::NotExecutable(format!("cannot execute {shown}: {}", report.error)),
    }
}

/// The path that the child tried to execute, for this process, whose working directory is another one.
fn path(report: &Report, plan: &Plan) -> PathBuf {
    let path = plan.programs.get(report.program).map(|path| OsStr::from_bytes(path.as_bytes()));
    let directory = plan.directories.first().map(|dir| OsStr::from_bytes(dir.as_bytes()));
    Path::new(directory.unwrap_or_default()).join(path.unwrap_or_default())
}

/// The interpreter in a script's `#!` line or in an ELF program's header.
fn interpreter(path: &Path) -> Option<String> {
    // The file may have been replaced by a pipe meanwhile, on which this process must not wait.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut head = Vec::new();
    (&file).take(4096).read_to_end(&mut head).ok()?;
    let name = match head.strip_prefix(b"#!") {
        Some(line) => {
            let line = line.split(|byte| *byte == b'\n').next()?.trim_ascii();
            line.split(u8::is_ascii_whitespace).next()?.to_vec()
        }
        None => elf_interpreter(&file, &head)?,
    };
    Some(String::from_utf8_lossy(&name).into_owned())
}

/// The segment `PT_INTERP` of a 64-bit little-endian program; see elf(5).
fn elf_interpreter(file: &File, head: &[u8]) -> Option<Vec<u8>> {
    const PT_INTERP: u64 = 3;
    const CLASS_64_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
    if !head.starts_with(CLASS_64_LITTLE_ENDIAN) {
        return None;
    }
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = head.get(at..at + length)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let entries = (0..count).map_while(|index| usize::try_from(table + index * size).ok());
    let mut entries = entries.filter(|entry| number(*entry, 4) == Some(PT_INTERP));
    let entry = entries.next()?;
    let (offset, length) = (number(entry + 8, 8)?, number(entry + 32, 8)?);
    let mut name = vec![0; usize::try_from(length.min(4096)).ok()?];
    file.read_exact_at(&mut name, offset).ok()?;
    name.retain(|byte| *byte != 0);
    Some(name)
}
