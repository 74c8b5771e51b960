//! A proxy of TCP in front of a server, which can cut all connections.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// A proxy. Its threads end with the process of the test.
pub(crate) struct CuttableProxy {
    address: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    /// How many clients have tried to connect since the cut.
    attempts: usize,
    connections: Vec<TcpStream>,
}

impl CuttableProxy {
    /// A proxy in front of this host and port.
    pub(crate) fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut state = shared.0.lock().expect("no panic");
                if state.is_cut {
                    state.attempts += 1;
                    shared.1.notify_all();
                } else if let Err(error) = connect(&client, &server, &mut state.connections) {
                    panic!("the server does not answer: {error}");
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts all connections, and refuses others, until a client has tried to connect again.
    pub(crate) fn cut(&self) {
        let mut state = self.state.0.lock().expect("no panic");
        (state.is_cut, state.attempts) = (true, 0);
        for connection in state.connections.drain(..) {
            // Fails if the connection has ended.
            let _ = connection.shutdown(Shutdown::Both);
        }
        let noticed = self.state.1.wait_while(state, |state| state.attempts == 0);
        drop(noticed.expect("no panic"));
    }

    pub(crate) fn mend(&self) {
        self.state.0.lock().expect("no panic").is_cut = false;
    }
}

/// Connects a client with the server by two threads.
fn connect(client: &TcpStream, server: &str, all: &mut Vec<TcpStream>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for (mut from, mut to) in
        [(client.try_clone()?, server.try_clone()?), (server.try_clone()?, client.try_clone()?)]
    {
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut piece) {
                if to.write_all(&piece[..count]).is_err() {
                    break;
                }
            }
            // Fails if the connection was cut.
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    all.extend([client.try_clone()?, server]);
    Ok(())
}
