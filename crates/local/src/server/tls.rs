//! TLS connections, and the options of all connections.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::Listener;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::StartError;
use crate::config::Tls;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Disables Nagle's algorithm, so that small responses are sent at once.
pub(super) fn disable_nagle(stream: &mut TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY; small responses on this connection may be delayed");
    }
}

/// Loads the certificate and its key.
pub(super) fn acceptor(files: &Tls) -> Result<TlsAcceptor, StartError> {
    let config = server_config(files).map_err(|error| StartError::Tls(files.clone(), error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn server_config(files: &Tls) -> Result<ServerConfig, domain::ports::BoxError> {
    let chain =
        CertificateDer::pem_file_iter(&files.certificates)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&files.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Accepts connections and does their handshakes, side by side: a slow one delays no other.
pub(super) struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<Connection>>,
}

type Connection = (TlsStream<TcpStream>, SocketAddr);

impl TlsListener {
    pub(super) fn new(tcp: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self { tcp, acceptor, handshakes: JoinSet::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Connection {
        loop {
            tokio::select! {
                (mut stream, peer) = Listener::accept(&mut self.tcp) => {
                    disable_nagle(&mut stream);
                    let shaking = self.acceptor.accept(stream);
                    self.handshakes.spawn(async move {
                        let shaken = timeout(HANDSHAKE_TIMEOUT, shaking).await;
                        Some((shaken.ok()?.ok()?, peer))
                    });
                }
                Some(Ok(Some(connection))) = self.handshakes.join_next() => return connection,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

#[cfg(test)]
mod tests;
