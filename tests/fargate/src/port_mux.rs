//! One port for two protocols: data channels go to `ssm`, all other connections to the API.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::Listener;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::sleep,
};

use crate::cluster::Cluster;

/// The first bytes of the request that opens a data channel.
const CHANNEL: &[u8] = b"GET /v1/data-channel/";

/// A listener that yields the connections that are not data channels.
#[derive(Debug)]
pub(crate) struct PortMux {
    address: SocketAddr,
    rest: mpsc::Receiver<(TcpStream, SocketAddr)>,
}

impl PortMux {
    /// Accepts and sorts connections until the value is dropped.
    pub(crate) fn new(listener: TcpListener, cluster: Arc<Cluster>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (others, rest) = mpsc::channel(64);
        tokio::spawn(async move {
            while !others.is_closed() {
                match listener.accept().await {
                    Ok((stream, from)) => {
                        tokio::spawn(sort(stream, from, others.clone(), Arc::clone(&cluster)));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection can't be accepted");
                        sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        });
        Ok(Self { address, rest })
    }
}

impl Listener for PortMux {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match self.rest.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn sort(
    stream: TcpStream,
    from: SocketAddr,
    others: mpsc::Sender<(TcpStream, SocketAddr)>,
    cluster: Arc<Cluster>,
) {
    // Each small frame is answered before the next one.
    let _only_slower = stream.set_nodelay(true);
    match is_channel(&stream).await {
        Ok(true) => {
            let find = move |opening: &ssm::server::Opening| cluster.sessions().find(opening);
            if let Err(error) = ssm::server::accept(stream, find).await {
                tracing::debug!(%error, "a data channel was refused");
            }
        }
        // The receiver has ended only if the server ends.
        Ok(false) => drop(others.send((stream, from)).await),
        Err(error) => tracing::debug!(%error, "a connection failed"),
    }
}

/// Peeks at the first bytes, as many as the decision needs.
async fn is_channel(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; CHANNEL.len()];
    loop {
        let length = stream.peek(&mut seen).await?;
        let begins = CHANNEL.starts_with(seen.get(..length).unwrap_or_default());
        if length == CHANNEL.len() || length == 0 || !begins {
            return Ok(begins && length == CHANNEL.len());
        }
        // `peek` returns the same bytes again at once, so wait for more.
        sleep(Duration::from_millis(1)).await;
    }
}
