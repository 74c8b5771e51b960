//! A program on a terminal of its own.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

/// Longest time in which a terminal shows nothing while something is awaited.
const SILENCE: Duration = Duration::from_secs(30);
const PIECE: usize = 64 << 10;

/// A program and the terminal that it runs on. Dropping it closes the terminal and kills the program.
pub(super) struct Screen {
    program: Child,
    terminal: File,
    piece: Vec<u8>,
}

impl Screen {
    /// Starts a program on a new terminal.
    pub(super) fn open(command: &mut Command) -> Result<Self> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let name = ptsname(&terminal, Vec::new())?;
        let side =
            File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes()))?;
        command.stdin(side.try_clone()?).stdout(side.try_clone()?).stderr(side);
        let program = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self { program, terminal: terminal.into(), piece: vec![0; PIECE] })
    }

    /// Presses keys.
    pub(super) fn write(&mut self, keys: &[u8]) -> Result<()> {
        Ok(self.terminal.write_all(keys)?)
    }

    /// Reads until the last bytes that were shown are these, and returns how many bytes were shown.
    pub(super) fn read_until(&mut self, last: &[u8]) -> Result<u64> {
        let (mut end, mut count) = (Vec::new(), 0);
        while !end.ends_with(last) {
            let timeout = Timespec::try_from(SILENCE)?;
            let mut ready = [PollFd::new(&self.terminal, PollFlags::IN)];
            ensure!(poll(&mut ready, Some(&timeout))? > 0, "the terminal shows nothing any more");
            let read = self.terminal.read(&mut self.piece).context("the program has ended")?;
            count += u64::try_from(read)?;
            end.extend_from_slice(&self.piece[read.saturating_sub(last.len())..read]);
            end.drain(..end.len().saturating_sub(last.len()));
        }
        Ok(count)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It fails if the program has ended.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
