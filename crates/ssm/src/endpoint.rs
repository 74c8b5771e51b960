//! One end of a data channel without I/O: bytes of messages go in and out, time is an argument.
//!
//! Times are durations since the epoch that never go back: what measures round trips also dates messages.

mod handshake;
mod incoming;
mod outgoing;
mod receive;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use handshake::Handshake;
use incoming::Incoming;
use outgoing::Outgoing;

use crate::{
    frame::{FIN, Header, MessageId, SYN},
    message::{ChannelClosed, HandshakeComplete, MessageType, PayloadType, Size},
};

/// Which of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends input, reads output.
    Client,
    /// The service and the agent in one.
    Server,
}

/// What came in, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Bytes(Bytes),
    Size(Size),
    ExitCode(i32),
    /// The client wants the session to end.
    Terminate,
    /// The client does not take the session for what it is.
    HandshakeRefused,
    /// The service ended the session; nothing follows.
    Closed {
        message: String,
    },
}

/// The state of one end. It outlives connections.
#[derive(Debug)]
pub struct Endpoint {
    role: Role,
    outgoing: Outgoing,
    incoming: Incoming,
    handshake: Handshake,
    /// The service asked to hold back.
    paused: bool,
    transmit: VecDeque<Bytes>,
    events: VecDeque<Event>,
    seed: u128,
    ids: u64,
    active: Duration,
}

impl Endpoint {
    /// `seed` makes the message ids; take it from a random source.
    pub fn client(seed: u128, now: Duration) -> Self {
        Self::new(Role::Client, seed, now)
    }

    /// With `handshake`, the first message is a request for the session type, and nothing else is sent before it is answered or time is up.
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
            handshake: Handshake::None,
            paused: false,
            transmit: VecDeque::new(),
            events: VecDeque::new(),
            seed,
            ids: 0,
            active: now,
        }
    }

    /// A connection stands. Counters go on; what is not acknowledged is sent again, for nobody knows how far it came.
    pub fn connected(&mut self, now: Duration) {
        self.transmit.clear();
        self.active = now;
        if self.role == Role::Server {
            // Its length, 17, is what some clients wait for where others have the payload type.
            let payload = MessageType::StartPublication.as_str().as_bytes().to_vec();
            self.transmit_short(MessageType::StartPublication, &payload, now);
            self.handshake.connected(now);
        }
        self.transmit.extend(self.outgoing.resend_all(now));
    }

    /// Whether more data may be sent now. What waits for acknowledgements is bounded, and a handshake comes first.
    pub fn may_send(&self) -> bool {
        self.outgoing.has_room() && !self.paused && !self.handshake.is_pending()
    }

    /// Sends one stream message. Bounded only by who asks [`Self::may_send`] first.
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
        self.active = now;
    }

    /// Ends the session, as the service does.
    pub fn close(&mut self, session: &str, message: &str, now: Duration) {
        let closed = ChannelClosed {
            message_id: self.next_id().to_string(),
            created_date: millis(now).to_string(),
            session_id: session.to_owned(),
            output: message.to_owned(),
            ..ChannelClosed::default()
        };
        let payload = json(&closed);
        self.transmit_short(MessageType::ChannelClosed, &payload, now);
    }

    /// The next message for the wire.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmit.pop_front()
    }

    /// The next thing that came in.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How many messages wait for [`Self::poll_transmit`].
    pub fn backlog(&self) -> usize {
        self.transmit.len()
    }

    /// When to call [`Self::elapsed`].
    pub fn deadline(&self) -> Option<Duration> {
        [self.resend_due(), self.handshake.deadline()].into_iter().flatten().min()
    }

    /// Does what is due: sends the oldest unacknowledged message again, ends a handshake that nobody answers.
    pub fn elapsed(&mut self, now: Duration) {
        if self.resend_due().is_some_and(|due| due <= now) {
            self.transmit.extend(self.outgoing.resend(now));
        }
        if self.handshake.deadline().is_some_and(|deadline| deadline <= now) {
            self.complete_handshake(now);
        }
    }

    /// Whether all that was sent is acknowledged.
    pub fn is_settled(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// When the oldest unacknowledged message was first sent.
    pub fn waiting_since(&self) -> Option<Duration> {
        self.outgoing.oldest()
    }

    /// When data last went or came, or was acknowledged.
    pub fn active_at(&self) -> Duration {
        self.active
    }

    /// While the wire takes nothing, sending again is of no use.
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

    /// Sends a message of the service's own.
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

/// Spreads neighbouring numbers over all bits (the finaliser of SplitMix64, once per half).
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
    serde_json::to_vec(value).expect("texts, numbers and lists of them have a JSON form")
}
