//! The bodies of requests and responses on a connection with limits.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes};
use domain::ports::BoxError;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// A request's body that must be whole at a deadline, or whose pieces must not be late.
#[derive(Debug)]
pub(super) struct TimedBody {
    body: Incoming,
    timeout: Duration,
    /// Whether each piece moves the deadline.
    by_piece: bool,
    deadline: Instant,
    expiry: Option<Pin<Box<Sleep>>>,
}

impl TimedBody {
    /// A body that may take so long.
    pub(super) fn whole(body: Incoming, timeout: Duration) -> Self {
        Self { body, timeout, by_piece: false, deadline: Instant::now() + timeout, expiry: None }
    }

    /// A body each of whose pieces may take so long.
    pub(super) fn by_piece(body: Incoming, timeout: Duration) -> Self {
        Self { by_piece: true, ..Self::whole(body, timeout) }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if self.by_piece {
                self.deadline = Instant::now() + self.timeout;
                self.expiry = None;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = self.deadline;
        let expiry = self.expiry.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(expiry.as_mut().poll(cx));
        Poll::Ready(Some(Err("the body of the request did not arrive in time".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body with something that is held until the body was sent.
#[derive(Debug)]
pub(super) struct HeldBody<T> {
    pub(super) body: Body,
    pub(super) _held: T,
}

impl<T: Unpin> HttpBody for HeldBody<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
