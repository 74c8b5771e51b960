//! One end of a data channel without I/O: the caller passes received messages and the time, and takes messages to send.
//!
//! Times are durations since the Unix epoch and must be monotonic: they both measure round trips and date messages.

mod acknowledgements;
mod handshake;
mod incoming;
mod outgoing;
mod receive;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use acknowledgements::Acknowledgements;
use bytes::Bytes;
use handshake::Handshake;
use incoming::Incoming;
use outgoing::Outgoing;

use crate::{
    frame::{FIN, Header, MessageId, SYN},
    message::{CLIENT_VERSION, ChannelClosed, HandshakeComplete, MessageType, PayloadType, Size},
};

/// The role of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The client sends input and receives output.
    Client,
    /// The server acts as AWS's service and agent in one.
    Server,
}

/// A received event, in the order of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Bytes(Bytes),
    Size(Size),
    ExitCode(i32),
    /// The client asks to end the session.
    Terminate,
    /// The client rejected the session type in the handshake.
    HandshakeRefused,
    /// The service ended the session; no event follows.
    Closed {
        message: String,
    },
}

/// The state of one end. It persists across connections.
#[derive(Debug)]
pub struct Endpoint {
    role: Role,
    outgoing: Outgoing,
    incoming: Incoming,
    acknowledgements: Acknowledgements,
    handshake: Handshake,
    /// Whether the service asked to pause sending.
    paused: bool,
    transmit: VecDeque<Bytes>,
    events: VecDeque<Event>,
    seed: u128,
    ids: u64,
    last_active: Duration,
    /// What a client reports of itself in the handshake.
    client_version: String,
}

impl Endpoint {
    /// Creates a client end. Message ids are derived from `seed`, which must be random.
    pub fn client(seed: u128, now: Duration) -> Self {
        Self::new(Role::Client, seed, now)
    }

    /// Creates a server end. With `handshake`, the first message is a HandshakeRequest with the session type, and no data is sent until
    /// the client answers or 3 s have passed.
    pub fn server(seed: u128, handshake: bool, now: Duration) -> Self {
        let mut server = Self::new(Role::Server, seed, now);
        if handshake {
            let request = server.handshake.request(now);
            server.send(PayloadType::HandshakeRequest, &request, now);
        }
        server
    }

    fn new(role: Role, seed: u128, now: Duration) -> Self {
        Self {
            role,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            acknowledgements: Acknowledgements::default(),
            handshake: Handshake::None,
            paused: false,
            transmit: VecDeque::new(),
            events: VecDeque::new(),
            seed,
            ids: 0,
            last_active: now,
            client_version: CLIENT_VERSION.to_owned(),
        }
    }

    /// A client end that reports this version.
    pub fn reporting(mut self, client_version: String) -> Self {
        self.client_version = client_version;
        self
    }

    /// An end that may delay the acknowledgement of terminal bytes for this long, to send it with an answer.
    /// The peer's timeout of resends must be longer.
    pub fn acknowledging_within(mut self, delay: Duration) -> Self {
        self.acknowledgements = Acknowledgements::within(delay);
        self
    }

    /// Starts a new connection. Sequence numbers continue; all unacknowledged messages are sent again, because the old connection may
    /// have lost them.
    pub fn connected(&mut self, now: Duration) {
        self.transmit.clear();
        // The peer sends again what it has no acknowledgement of.
        self.acknowledgements.take();
        self.last_active = now;
        if self.role == Role::Server {
            // Some clients read the payload length, 17, as the payload type and wait for it.
            let payload = MessageType::StartPublication.as_str().as_bytes().to_vec();
            self.transmit_short(MessageType::StartPublication, &payload, now);
            self.handshake.connected(now);
        }
        self.transmit.extend(self.outgoing.resend_all(now));
    }

    /// Whether data may be sent now: the send window has capacity, sending is not paused, and no handshake is pending.
    pub fn may_send(&self) -> bool {
        self.outgoing.has_capacity() && !self.paused && !self.handshake.is_pending()
    }

    /// Sends one stream message. The caller checks [`Self::may_send`] first; `send` itself does not limit the queue.
    pub fn send(&mut self, payload_type: PayloadType, payload: &[u8], now: Duration) {
        let (message_type, syn) = match self.role {
            Role::Client => (MessageType::InputStreamData, false),
            Role::Server => (MessageType::OutputStreamData, self.outgoing.next() == 0),
        };
        let header = Header {
            message_type,
            created: millis(now),
            sequence: self.outgoing.next(),
            flags: if syn { SYN } else { 0 },
            id: self.next_id(),
            payload_type: Some(payload_type),
        };
        let message = header.encode(payload);
        self.outgoing.push(header.id, message.clone(), now);
        self.transmit.push_back(message);
        self.transmit.extend(self.acknowledgements.take());
        self.last_active = now;
    }

    /// Sends `channel_closed`, as the service does at the end of a session.
    pub fn close(&mut self, session: &str, message: &str, now: Duration) {
        let closed = ChannelClosed {
            message_id: self.next_id().to_string(),
            created_date: millis(now).to_string(),
            session_id: session.to_owned(),
            output: message.to_owned(),
            ..ChannelClosed::default()
        };
        let payload = json(&closed);
        self.transmit.extend(self.acknowledgements.take());
        self.transmit_short(MessageType::ChannelClosed, &payload, now);
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmit.pop_front()
    }

    /// The next received event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The number of messages available from [`Self::poll_transmit`].
    pub fn backlog(&self) -> usize {
        self.transmit.len()
    }

    /// The time at which to call [`Self::elapsed`].
    pub fn deadline(&self) -> Option<Duration> {
        let due = [self.resend_due(), self.handshake.deadline(), self.acknowledgements.due()];
        due.into_iter().flatten().min()
    }

    /// Processes timers: sends delayed acknowledgements, resends the oldest unacknowledged message, and ends a handshake that the
    /// client does not answer.
    pub fn elapsed(&mut self, now: Duration) {
        if self.acknowledgements.due().is_some_and(|due| due <= now) {
            self.transmit.extend(self.acknowledgements.take());
        }
        if self.resend_due().is_some_and(|due| due <= now) {
            self.transmit.extend(self.outgoing.resend(now));
        }
        if self.handshake.deadline().is_some_and(|deadline| deadline <= now) {
            self.complete_handshake(now);
        }
    }

    /// Whether all sent messages are acknowledged.
    pub fn is_fully_acknowledged(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// The time at which the oldest unacknowledged message was first sent.
    pub fn waiting_since(&self) -> Option<Duration> {
        self.outgoing.oldest()
    }

    /// The time at which data was last sent, received or acknowledged.
    pub fn active_at(&self) -> Duration {
        self.last_active
    }

    /// The time of the next resend. A resend is useless while messages still wait for the socket.
    fn resend_due(&self) -> Option<Duration> {
        self.outgoing.deadline().filter(|_| self.transmit.is_empty())
    }

    fn complete_handshake(&mut self, now: Duration) {
        let complete = HandshakeComplete {
            handshake_time_to_complete: self.handshake.age(now),
            customer_message: String::new(),
        };
        self.handshake = Handshake::None;
        self.send(PayloadType::HandshakeComplete, &json(&complete), now);
    }

    /// Sends a message of the service itself, with the short header.
    fn transmit_short(&mut self, message_type: MessageType, payload: &[u8], now: Duration) {
        let id = self.next_id();
        let created = millis(now);
        let header =
            Header { message_type, created, sequence: 0, flags: SYN | FIN, id, payload_type: None };
        self.transmit.push_back(header.encode(payload));
    }

    fn next_id(&mut self) -> MessageId {
        self.ids += 1;
        MessageId::from_random(mix(self.seed.wrapping_add(u128::from(self.ids))))
    }
}

/// Distributes consecutive numbers over all bits (the finalizer of SplitMix64 for each half).
fn mix(number: u128) -> u128 {
    let half = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (high, low) = ((number >> 64) as u64, number as u64);
    u128::from(half(high ^ half(low))) << 64 | u128::from(half(low.wrapping_add(high)))
}

fn millis(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers and lists can be serialized")
}
