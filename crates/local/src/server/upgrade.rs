//! Connections that leave HTTP for another protocol. They count as connections all the same.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use super::connections::{Admitted, Serving};
use crate::config::ConnectionLimits;

/// The connection of a request that may be upgraded.
#[derive(Debug, Clone)]
pub(super) struct UpgradableConnection {
    admitted: Arc<Admitted>,
    limits: ConnectionLimits,
}

/// An upgraded connection in use, which is not closed for another one.
#[derive(Debug)]
pub(super) struct Upgraded {
    _serving: Serving,
    _admitted: Arc<Admitted>,
}

impl UpgradableConnection {
    pub(super) const fn new(admitted: Arc<Admitted>, limits: ConnectionLimits) -> Self {
        Self { admitted, limits }
    }

    /// A request on this connection has a user.
    pub(super) fn authenticated(&self) {
        self.admitted.phase.authenticated();
    }

    /// Waits for the client to open the other protocol, under the limits that hold for the header of a
    /// request. `None` if the connection must be closed.
    pub(super) async fn opening<T>(&self, opened: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            opened = timeout(self.limits.header_timeout, opened) => opened.ok(),
            () = self.admitted.phase.expired(&self.limits) => None,
        }
    }

    /// Counts the connection as one in use.
    pub(super) fn serve(&self) -> Upgraded {
        let serving = self.admitted.phase.serve();
        self.authenticated();
        Upgraded { _serving: serving, _admitted: Arc::clone(&self.admitted) }
    }
}

/// The stream of an upgraded connection, which counts as one in use until it is dropped.
#[derive(Debug)]
pub(super) struct UpgradedStream<S> {
    stream: S,
    _in_use: Arc<OnceLock<Upgraded>>,
}

impl<S> UpgradedStream<S> {
    /// The stream, which holds `in_use` from when that is set.
    pub(super) const fn new(stream: S, in_use: Arc<OnceLock<Upgraded>>) -> Self {
        Self { stream, _in_use: in_use }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for UpgradedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for UpgradedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
