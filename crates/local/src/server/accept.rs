//! Accepts connections and serves the API on them.

use std::{future::poll_fn, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{
    Request, Response,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt};

use super::{
    body::{HeldBody, TimeLimit, TimedBody},
    connections::{Admitted, Connections},
    limited_reads::LimitedReads,
    repoll::Repoll,
    timed_stream::TimedStream,
    upgrade::UpgradableConnection,
    users,
};
use crate::config::ConnectionLimits;

/// How much of a response the kernel holds for a client that reads slowly. Bytes.
const SEND_BUFFER: u32 = 256 * 1024;
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// The largest header of a request. Bytes.
const MAX_HEADER: usize = 64 * 1024;
/// The most bytes that hyper gets at once unless a request of a user is handled. hyper doubles its buffer after a read
/// that fills it, so a read of exactly `MAX_HEADER` bytes would let the buffer grow beyond what a header needs.
const MAX_ANONYMOUS_READ: u64 = MAX_HEADER as u64 - 1;
/// The largest piece of a request's body, and how much of a response is gathered. Bytes.
const MAX_PIECE: usize = 256 * 1024;
/// How long to wait after the system refused a connection, mostly for lack of open files.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Listens on this address.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted server need not wait for the connections of its predecessor.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What serves connections.
#[derive(Clone)]
pub(super) struct Acceptor {
    /// For https; plain http if absent.
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) router: Router,
    pub(super) connections: Connections,
    pub(super) limits: ConnectionLimits,
}

impl Acceptor {
    /// Serves connections until `stopped` says so, then lets the open requests finish.
    pub(super) async fn run(self, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
        let acceptor = Arc::new(self);
        let mut open = JoinSet::new();
        let until_connection = stopped.clone();
        loop {
            tokio::select! {
                (tcp, peer) = acceptor.next(&listener) => {
                    let Some(admitted) = acceptor.connections.admit(peer.ip()) else { continue };
                    let (acceptor, admitted) = (Arc::clone(&acceptor), Arc::new(admitted));
                    let serving = acceptor.serve(tcp, admitted, until_connection.clone());
                    open.spawn(serving);
                }
                // None means that no connection is open.
                Some(_) = open.join_next() => {}
                () = stop(&mut stopped) => break,
            }
        }
        drop(listener);
        while open.join_next().await.is_some() {}
    }

    /// The next connection, once there is room for it.
    async fn next(&self, listener: &TcpListener) -> (TcpStream, SocketAddr) {
        self.connections.settled().await;
        accept(listener).await
    }

    /// Serves a connection to its end.
    async fn serve(
        self: Arc<Self>,
        tcp: TcpStream,
        admitted: Arc<Admitted>,
        stopped: watch::Receiver<bool>,
    ) {
        disable_nagle(&tcp);
        let stream = TimedStream::new(tcp, admitted.phase.clone(), self.limits.write_timeout);
        tokio::select! {
            () = self.handshake(stream, &admitted, stopped) => {}
            () = admitted.phase.expired(&self.limits) => {}
        }
    }

    async fn handshake(
        &self,
        stream: TimedStream,
        admitted: &Arc<Admitted>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let Some(tls) = &self.tls else { return self.requests(stream, admitted, stopped).await };
        let encrypted = tokio::select! {
            encrypted = tls.accept(stream) => encrypted,
            () = stop(&mut stopped) => return,
        };
        match encrypted {
            Ok(encrypted) => self.requests(encrypted, admitted, stopped).await,
            Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
        }
    }

    /// Serves the requests on a connection; after `stopped`, only the one under way.
    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        admitted: &Arc<Admitted>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let service = TowerToHyperService::new(self.service(admitted));
        let stream = LimitedReads::new(stream, admitted.phase.clone(), MAX_ANONYMOUS_READ);
        let connection = http1::Builder::new()
            .max_buf_size(MAX_PIECE)
            .max_header_size(MAX_HEADER)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let repoll = Repoll::new();
        let ended = tokio::select! {
            ended = poll_fn(|cx| repoll.poll(cx, |cx| connection.as_mut().poll(cx))) => ended,
            () = stop(&mut stopped) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection failed");
        }
    }

    fn service(
        &self,
        admitted: &Arc<Admitted>,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone {
        let (router, limits) = (self.router.clone(), self.limits);
        let upgradable = UpgradableConnection::new(Arc::clone(admitted), limits);
        let admitted = Arc::clone(admitted);
        tower::service_fn(move |request: Request<Incoming>| {
            let serving = admitted.phase.serve();
            let is_transfer = users::is_transfer(request.uri().path());
            let limit = if is_transfer { TimeLimit::OfPiece } else { TimeLimit::OfBody };
            let (head, body) = request.into_parts();
            let (body, unread) = TimedBody::new(body, limit(limits.body_timeout));
            let mut request = Request::from_parts(head, Body::new(body));
            request.extensions_mut().insert(upgradable.clone());
            let response = router.clone().oneshot(request);
            async move {
                let mut response = response.await?;
                if unread.is_some() {
                    // The connection is closed then, and the client must not send another request on it.
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok(response.map(|body| Body::new(HeldBody { body, _held: serving })))
            }
        })
    }
}

/// Returns when the server stops.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender, and so the server, was dropped.
    let _dropped = stopped.wait_for(|stop| *stop).await;
}

/// The next connection.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection; trying again in a second");
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Whether the peer ended the connection before it was accepted.
fn is_of_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Disables Nagle's algorithm, so that small responses are sent at once.
fn disable_nagle(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY; small responses on this connection may be delayed");
    }
}

#[cfg(test)]
mod tests;
