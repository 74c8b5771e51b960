//! Access to a sandbox from outside.

use std::{io, path::Path};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::UnixStream;

/// The host's id of PID 1 of a sandbox: the process that listens on the sandbox's socket.
pub(crate) async fn init(socket: &Path) -> io::Result<Pid> {
    let runner = UnixStream::connect(socket).await?.peer_cred()?;
    let pid = runner.pid().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Kills PID 1 of a sandbox.
pub(crate) async fn kill(socket: &Path) -> io::Result<()> {
    let init = pidfd_open(init(socket).await?, PidfdFlags::empty())?;
    Ok(pidfd_send_signal(init, Signal::KILL)?)
}
