//! What a measurement has started is removed when the bench is ended by a signal. Servers leave their
//! shells to the next server, and nobody would start one on the directory of a measurement.

use std::{fs, process, thread};

use anyhow::Result;
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};

use crate::server::Process;

static RUNNING: Mutex<Vec<Process>> = Mutex::new(Vec::new());

/// Removes all servers and shells at a signal that ends the bench, and ends it.
pub(crate) fn watch_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _entered = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    thread::spawn(move || {
        let number = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => 2,
                _ = terminate.recv() => 15,
                _ = hangup.recv() => 1,
            }
        });
        eprintln!("stopping the servers and their shells");
        for server in std::mem::take(&mut *RUNNING.lock()) {
            if let Err(error) = server.end().and_then(|()| Ok(fs::remove_dir_all(server.dir())?)) {
                eprintln!("shells of {} may be left: {error:#}", server.dir().display());
            }
        }
        process::exit(128 + number);
    });
    Ok(())
}

/// Notes a server that has to be ended.
pub(crate) fn add(server: Process) {
    RUNNING.lock().push(server);
}

/// Leaves the end of this server to the caller; false if it was ended already.
pub(crate) fn remove(server: &Process) -> bool {
    let mut running = RUNNING.lock();
    let place = running.iter().position(|one| one == server);
    place.map(|place| running.remove(place)).is_some()
}
