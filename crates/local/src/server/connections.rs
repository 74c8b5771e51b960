//! The open connections: how many there may be, and which are closed when there are too many.
//!
//! Anybody who reaches the port can open connections, so a connection without a request under way has a
//! deadline, and beyond the limit the one that waits longest is closed for a new one. A request without a
//! user is worth no more. Connections on which a user was authenticated are closed last: their clients may
//! be about to send the next request, which a client can't safely repeat when the connection is closed at
//! that moment.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep, sleep_until},
};

use crate::config::ConnectionLimits;

/// How many connections beyond the limit may wait to be closed.
const CLOSING: usize = 64;
/// How often to look whether those were closed. A busy host takes a while to come to them.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a closed connection is waited for.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);
/// The shortest time between two warnings about the limits.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A TLS handshake or the header of a request has been expected since then.
    Receiving(Instant),
    /// The last response was sent then; nothing has come since.
    Idle(Instant),
    /// A request is handled since then whose user is not known.
    Anonymous(Instant),
    /// A request of a user is handled.
    Serving,
    /// Closed for another connection, for good.
    Evicted,
}

impl Phase {
    /// Since when the connection can be closed for another one.
    const fn evictable_since(self) -> Option<Instant> {
        match self {
            Self::Receiving(since) | Self::Idle(since) | Self::Anonymous(since) => Some(since),
            Self::Serving | Self::Evicted => None,
        }
    }
}

/// The phase of one connection, and whether it is one of a user. Clones share both.
#[derive(Debug, Clone)]
pub(super) struct SharedPhase {
    phase: Arc<watch::Sender<Phase>>,
    /// Set once a request was authenticated.
    authenticated: Arc<AtomicBool>,
}

impl SharedPhase {
    /// A connection that was just accepted.
    pub(super) fn new() -> Self {
        let phase = watch::Sender::new(Phase::Receiving(Instant::now()));
        Self { phase: Arc::new(phase), authenticated: Arc::default() }
    }

    /// A request on this connection has a user.
    pub(super) fn authenticated(&self) {
        self.authenticated.store(true, Ordering::Relaxed);
        self.phase.send_if_modified(|phase| {
            let begins = matches!(phase, Phase::Anonymous(_));
            if begins {
                *phase = Phase::Serving;
            }
            begins
        });
    }

    /// Whether a request of a user is handled.
    pub(super) fn is_of_user(&self) -> bool {
        self.get() == Phase::Serving
    }

    /// Bytes have arrived: after the first of them the rest of the header must follow.
    pub(super) fn received(&self) {
        self.phase.send_if_modified(|phase| {
            let begins = matches!(phase, Phase::Idle(_));
            if begins {
                *phase = Phase::Receiving(Instant::now());
            }
            begins
        });
    }

    /// A request is handled until the guard is dropped.
    pub(super) fn serve(&self) -> Serving {
        self.set(Phase::Anonymous(Instant::now()));
        Serving(self.clone())
    }

    /// Sets the phase of a connection that is not to be closed.
    fn set(&self, next: Phase) {
        self.phase.send_if_modified(|phase| {
            let is_open = *phase != Phase::Evicted;
            if is_open {
                *phase = next;
            }
            is_open
        });
    }

    /// Returns when the connection must be closed.
    pub(super) async fn expired(&self, limits: &ConnectionLimits) {
        let mut phases = self.phase.subscribe();
        loop {
            let phase = *phases.borrow_and_update();
            let deadline = match phase {
                Phase::Receiving(since) => since + limits.header_timeout,
                Phase::Idle(since) => since + limits.idle_timeout,
                Phase::Evicted => return,
                Phase::Anonymous(_) | Phase::Serving => {
                    // The sender lives as long as `self`.
                    let _changed = phases.changed().await;
                    continue;
                }
            };
            tokio::select! {
                _changed = phases.changed() => {}
                () = sleep_until(deadline) => return,
            }
        }
    }

    fn get(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Closes the connection unless a request of a user is handled. Returns whether it is closed.
    fn evict(&self) -> bool {
        self.phase.send_if_modified(|phase| {
            let may = phase.evictable_since().is_some();
            if may {
                *phase = Phase::Evicted;
            }
            may
        })
    }
}

/// A request that is handled.
#[derive(Debug)]
pub(super) struct Serving(SharedPhase);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.set(Phase::Idle(Instant::now()));
    }
}

/// The open connections. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    open: usize,
    open_per_peer: usize,
    registry: Arc<Mutex<Registry>>,
}

#[derive(Debug, Default)]
struct Registry {
    next_id: u64,
    entries: HashMap<u64, (IpAddr, SharedPhase)>,
    per_peer: HashMap<IpAddr, usize>,
    /// Since when connections wait to be closed for others. They count no more.
    closing: HashMap<u64, Instant>,
    warned_at: Option<Instant>,
}

/// An open connection. Dropping it makes room for another.
#[derive(Debug)]
pub(super) struct Admitted {
    id: u64,
    pub(super) phase: SharedPhase,
    registry: Arc<Mutex<Registry>>,
}

impl Connections {
    /// No connections, with these limits; `room` is how many the process has room for. On loopback all
    /// users have the same address, which by default may have all connections.
    pub(super) fn new(limits: &ConnectionLimits, room: usize, on_loopback: bool) -> Self {
        let open = limits.open.unwrap_or(room).max(1);
        let share = if on_loopback { open } else { open / 4 };
        let open_per_peer = limits.open_per_peer.unwrap_or(share).max(1);
        Self { open, open_per_peer, registry: Arc::default() }
    }

    /// Counts a new connection. Where the limits are reached, the connection that waits longest for a
    /// request is closed for it: one of the same peer if that peer has its share, else one of a peer with
    /// the most; one without a user before one of a user. `None` if all of those handle requests of users: the
    /// new one must be closed.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<Admitted> {
        let peer = network(peer);
        let mut registry = self.registry.lock();
        let of_peer = registry.count(peer);
        if of_peer >= self.open_per_peer || registry.entries.len() >= self.open {
            registry.warn();
            let only = (of_peer >= self.open_per_peer).then_some(peer);
            if !registry.evict(only) {
                return None;
            }
        }
        let (id, phase) = (registry.next_id, SharedPhase::new());
        registry.next_id += 1;
        registry.entries.insert(id, (peer, phase.clone()));
        *registry.per_peer.entry(peer).or_default() += 1;
        drop(registry);
        Some(Admitted { id, phase, registry: Arc::clone(&self.registry) })
    }

    /// Returns when another connection can be counted: while too many wait to be closed for others, the
    /// next one must wait as well. It may be one of a user among thousands of others.
    pub(super) async fn settled(&self) {
        while self.registry.lock().closing() >= CLOSING {
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Registry {
    /// How many connections wait to be closed, but for those that take too long.
    fn closing(&mut self) -> usize {
        let now = Instant::now();
        self.closing.retain(|_, since| now.duration_since(*since) < CLOSES_WITHIN);
        self.closing.len()
    }

    fn count(&self, peer: IpAddr) -> usize {
        self.per_peer.get(&peer).copied().unwrap_or_default()
    }

    /// Closes the connection that is worth least; false if all handle requests of users.
    fn evict(&mut self, only: Option<IpAddr>) -> bool {
        // A connection may get a user meanwhile.
        let id = loop {
            let Some((id, phase)) = self.worth_least(only) else { return false };
            if phase.evict() {
                break id;
            }
        };
        self.remove(id);
        self.closing.insert(id, Instant::now());
        true
    }

    fn worth_least(&self, only: Option<IpAddr>) -> Option<(u64, SharedPhase)> {
        let evictable = self.entries.iter().filter_map(|(id, (peer, phase))| {
            let since = phase.get().evictable_since()?;
            let without_user = !phase.authenticated.load(Ordering::Relaxed);
            let order = (self.count(*peer), without_user, Reverse(since));
            only.is_none_or(|only| only == *peer).then_some((order, *id, phase))
        });
        let (_, id, phase) = evictable.max_by_key(|(order, ..)| *order)?;
        Some((id, phase.clone()))
    }

    /// Counts this connection no more.
    fn remove(&mut self, id: u64) {
        self.closing.remove(&id);
        let Some((peer, _)) = self.entries.remove(&id) else { return };
        if let Some(count) = self.per_peer.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&peer);
            }
        }
    }

    /// Warns that the limits are reached, not too often.
    fn warn(&mut self) {
        let now = Instant::now();
        if self.warned_at.is_some_and(|at| now.duration_since(at) < WARN_EVERY) {
            return;
        }
        self.warned_at = Some(now);
        let (connections, peers) = (self.entries.len(), self.per_peer.len());
        tracing::warn!(
            connections,
            peers,
            "the limit on open connections is reached; idle ones are closed, and new ones are refused \
             where none is idle"
        );
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.registry.lock().remove(self.id);
    }
}

/// The part of an address that counts as one peer: one host may have a whole IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests;
