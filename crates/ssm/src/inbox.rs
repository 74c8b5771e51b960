//! The queue of received events that the application has not read yet. It accepts every event and reports when it is full; the
//! driver then stops reading from the socket.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::task::AtomicWaker;
use tokio::sync::mpsc;

use crate::server::Event;

/// The number of bytes from which the queue is full.
const CAPACITY: usize = 8 << 20;
/// The size charged for an event besides its bytes. It exceeds the size of the event, which may keep part of a read buffer alive.
const OVERHEAD: usize = 256;

#[derive(Debug)]
pub(crate) struct Sender {
    events: mpsc::UnboundedSender<Event>,
    usage: Arc<Usage>,
}

#[derive(Debug)]
pub(crate) struct Receiver {
    events: mpsc::UnboundedReceiver<Event>,
    usage: Arc<Usage>,
}

#[derive(Debug, Default)]
struct Usage {
    size: AtomicUsize,
    writer: AtomicWaker,
}

pub(crate) fn inbox() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let usage = Arc::new(Usage::default());
    (Sender { events: sender, usage: usage.clone() }, Receiver { events: receiver, usage })
}

impl Sender {
    /// Adds an event; it is discarded if the receiver is closed.
    pub(crate) fn put(&self, event: Event) {
        self.usage.size.fetch_add(size(&event), Ordering::Relaxed);
        let _ = self.events.send(event);
    }

    /// Whether the queue is not full, or its receiver is closed.
    pub(crate) fn has_capacity(&self) -> bool {
        self.usage.size.load(Ordering::Acquire) < CAPACITY || self.events.is_closed()
    }

    pub(crate) fn poll_capacity(&self, cx: &Context<'_>) -> Poll<()> {
        if self.has_capacity() {
            return Poll::Ready(());
        }
        self.usage.writer.register(cx.waker());
        if self.has_capacity() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Receiver {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let event = ready!(self.events.poll_recv(cx));
        if let Some(event) = &event {
            let size = size(event);
            let before = self.usage.size.fetch_sub(size, Ordering::Release);
            if before >= CAPACITY && before - size < CAPACITY {
                self.usage.writer.wake();
            }
        }
        Poll::Ready(event)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.events.close();
        self.usage.writer.wake();
    }
}

fn size(event: &Event) -> usize {
    match event {
        Event::Bytes(bytes) => OVERHEAD + bytes.len(),
        Event::Size { .. } | Event::Closed(_) => OVERHEAD,
    }
}
