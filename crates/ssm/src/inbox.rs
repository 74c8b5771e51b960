//! What came in and is not read yet: takes everything, and says when it is full.

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

/// From here on it is full.
const LIMIT: usize = 8 << 20;
/// What an event takes besides its bytes: more than its place, for it may keep a piece of a read buffer.
const OVERHEAD: usize = 256;

#[derive(Debug)]
pub(crate) struct Sender {
    events: mpsc::UnboundedSender<Event>,
    level: Arc<Level>,
}

#[derive(Debug)]
pub(crate) struct Receiver {
    events: mpsc::UnboundedReceiver<Event>,
    level: Arc<Level>,
}

#[derive(Debug, Default)]
struct Level {
    size: AtomicUsize,
    writer: AtomicWaker,
}

pub(crate) fn inbox() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let level = Arc::new(Level::default());
    (Sender { events: sender, level: level.clone() }, Receiver { events: receiver, level })
}

impl Sender {
    /// What nobody will read is dropped.
    pub(crate) fn put(&self, event: Event) {
        self.level.size.fetch_add(size(&event), Ordering::Relaxed);
        let _ = self.events.send(event);
    }

    /// There is room, or nobody reads.
    pub(crate) fn has_room(&self) -> bool {
        self.level.size.load(Ordering::Acquire) < LIMIT || self.events.is_closed()
    }

    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        self.level.writer.register(cx.waker());
        if self.has_room() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Receiver {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let event = ready!(self.events.poll_recv(cx));
        if let Some(event) = &event {
            let size = size(event);
            let before = self.level.size.fetch_sub(size, Ordering::Release);
            if before >= LIMIT && before - size < LIMIT {
                self.level.writer.wake();
            }
        }
        Poll::Ready(event)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.events.close();
        self.level.writer.wake();
    }
}

fn size(event: &Event) -> usize {
    match event {
        Event::Bytes(bytes) => OVERHEAD + bytes.len(),
        Event::Size { .. } | Event::Closed(_) => OVERHEAD,
    }
}
