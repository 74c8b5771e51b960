//! The bodies of requests and responses on a connection with limits.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes};
use domain::ports::BoxError;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// How long a request's body may take.
#[derive(Debug, Clone, Copy)]
pub(super) enum TimeLimit {
    /// All of it.
    OfBody(Duration),
    /// Each of its pieces.
    OfPiece(Duration),
}

/// A request's body with a time limit.
#[derive(Debug)]
pub(super) struct TimedBody {
    body: Incoming,
    limit: TimeLimit,
    deadline: Instant,
    expiry: Option<Pin<Box<Sleep>>>,
    unread: Unread,
}

/// Whether a part of a request's body was not read. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Unread(Arc<AtomicBool>);

impl TimedBody {
    /// The body, and whether a part of it was not read at any time.
    pub(super) fn new(body: Incoming, limit: TimeLimit) -> (Self, Unread) {
        let unread = Unread(Arc::new(AtomicBool::new(!body.is_end_stream())));
        let (TimeLimit::OfBody(time) | TimeLimit::OfPiece(time)) = limit;
        let deadline = Instant::now() + time;
        (Self { body, limit, deadline, expiry: None, unread: unread.clone() }, unread)
    }
}

impl Unread {
    pub(super) fn is_some(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
            let is_end = frame.is_none() || self.body.is_end_stream();
            self.unread.0.store(!is_end, Ordering::Relaxed);
            if let TimeLimit::OfPiece(time) = self.limit {
                self.deadline = Instant::now() + time;
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
