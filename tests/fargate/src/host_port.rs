//! A port of this host that sandboxes reach as if it were their own. On AWS the network of a task leads to the
//! bucket through which files go; the sandboxes here have no network.

use std::{
    collections::HashMap,
    io, net,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use rustix::{
    process::{Pid, PidfdFlags, pidfd_open},
    thread::{ThreadNameSpaceType, move_into_thread_name_spaces},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use crate::sandbox_access;

/// The listeners in all sandboxes.
#[derive(Debug, Clone)]
pub(crate) struct HostPort {
    port: Option<u16>,
    running: Arc<Mutex<HashMap<String, AbortHandle>>>,
}

impl HostPort {
    /// Without a port, nothing is done.
    pub(crate) fn new(port: Option<u16>) -> Self {
        Self { port, running: Arc::default() }
    }

    /// Listens in the sandbox whose runner listens on this socket.
    pub(crate) fn start(&self, id: &str, socket: PathBuf) {
        let Some(port) = self.port else { return };
        let serving = tokio::spawn(async move {
            if let Err(error) = serve(&socket, port).await {
                tracing::warn!(%error, "a sandbox has no way to a port of this host");
            }
        });
        self.running.lock().insert(id.to_owned(), serving.abort_handle());
    }

    pub(crate) fn end(&self, id: &str) {
        if let Some(serving) = self.running.lock().remove(id) {
            serving.abort();
        }
    }
}

async fn serve(socket: &Path, port: u16) -> io::Result<()> {
    let init = sandbox_access::init(socket).await?;
    let listener = TcpListener::from_std(listen_in(init, port)?)?;
    loop {
        let (mut connection, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut host = TcpStream::connect(("127.0.0.1", port)).await?;
            copy_bidirectional(&mut connection, &mut host).await
        });
    }
}

/// Makes the listener in a thread that enters the network of the sandbox, and ends then.
fn listen_in(init: Pid, port: u16) -> io::Result<net::TcpListener> {
    let listen = move || {
        let sandbox = pidfd_open(init, PidfdFlags::empty())?;
        move_into_thread_name_spaces(sandbox.as_fd(), ThreadNameSpaceType::NETWORK)?;
        let listener = net::TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let ended = thread::spawn(listen).join();
    ended.unwrap_or_else(|_| Err(io::Error::other("the thread that listens has ended")))
}
