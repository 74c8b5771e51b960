//! A peer of the SSM data channel may send any messages in any order. Neither end panics, loops, or keeps
//! more than a bounded number of messages, and what it delivers is in order.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ssm::{
    Bytes,
    endpoint::Endpoint,
    frame::{Frame, Header, MessageId},
    message::{MessageType, OpenDataChannel, PayloadType},
};

/// The most messages that an endpoint may send in answer to one message or one deadline.
const MOST_ANSWERS: usize = 20_000;

/// Takes the parts of a message from the input of the fuzzer.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?) * 4;
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        Some(bytes)
    }

    /// A message with a correct digest, which random bytes never have.
    fn message(&mut self) -> Option<Bytes> {
        let message_type = match self.byte()? % 8 {
            0 => MessageType::InputStreamData,
            1 | 2 => MessageType::OutputStreamData,
            3 | 4 => MessageType::Acknowledge,
            5 => MessageType::ChannelClosed,
            6 => MessageType::PausePublication,
            _ => MessageType::StartPublication,
        };
        // Mostly a number near those that are expected.
        let sequence = match self.byte()? {
            255 => self.number()? as i64,
            small => i64::from(small),
        };
        let payload_type = match self.byte()? {
            255 => None,
            number => Some(PayloadType::from(u32::from(number % 20))),
        };
        let header = Header {
            message_type,
            created: 1,
            sequence,
            flags: u64::from(self.byte()? % 4),
            id: MessageId::from_random(self.byte()?.into()),
            payload_type,
        };
        Some(header.encode(self.bytes()?))
    }
}

fn settle(endpoint: &mut Endpoint) {
    let mut answers = 0;
    while let Some(bytes) = endpoint.poll_transmit() {
        Frame::decode(bytes).expect("an endpoint sends what can be decoded");
        answers += 1;
        assert!(answers < MOST_ANSWERS, "an endpoint sends without an end");
    }
    while endpoint.poll_event().is_some() {}
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut now = Duration::ZERO;
    let Some(kind) = input.byte() else { return };
    let mut endpoint = match kind % 3 {
        0 => Endpoint::client(1, now),
        1 => Endpoint::server(1, true, now),
        _ => Endpoint::server(1, false, now),
    };
    endpoint.connected(now);
    settle(&mut endpoint);
    while let Some(action) = input.byte() {
        match action % 8 {
            0 => {
                let Some(bytes) = input.bytes() else { break };
                if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(bytes)) {
                    let again = Frame::decode(frame.header.encode(&frame.payload));
                    assert_eq!(again.map(|again| again.payload), Ok(frame.payload));
                }
                if let Ok(text) = str::from_utf8(bytes) {
                    let _token = OpenDataChannel::parse(text);
                }
                endpoint.receive(Bytes::copy_from_slice(bytes), now);
            }
            1 => endpoint.connected(now),
            2 => {
                let Some(bytes) = input.bytes() else { break };
                if endpoint.may_send() {
                    endpoint.send(PayloadType::Output, bytes, now);
                }
            }
            3 => {
                now += Duration::from_millis(u64::from(input.byte().unwrap_or_default()) * 50);
                endpoint.elapsed(now);
            }
            _ => {
                let Some(message) = input.message() else { break };
                endpoint.receive(message, now);
            }
        }
        settle(&mut endpoint);
    }
});
