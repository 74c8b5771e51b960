//! Processing of received messages.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;

use super::{Endpoint, Event, Handshake, Role, handshake, json, millis};
use crate::{
    frame::{FIN, Frame, Header, SYN},
    message::{
        Acknowledge, ChannelClosed, MessageType, PayloadType, TERMINATE_SESSION, parse_exit_code,
    },
};

impl Endpoint {
    /// Processes one message. A malformed or unknown message, or one of the wrong direction, is ignored, as by AWS's client and agent.
    pub fn receive(&mut self, message: Bytes, now: Duration) {
        let frame = match Frame::decode(message) {
            Ok(frame) => frame,
            Err(error) => return tracing::debug!("ignored a malformed message: {error}"),
        };
        match (&frame.header.message_type, self.role) {
            (MessageType::OutputStreamData, Role::Client)
            | (MessageType::InputStreamData, Role::Server) => self.stream_data(frame, now),
            (MessageType::Acknowledge, _) => self.acknowledgement(&frame, now),
            (MessageType::ChannelClosed, Role::Client) => {
                let closed = serde_json::from_slice::<ChannelClosed>(&frame.payload);
                let message = closed.unwrap_or_default().output;
                self.events.push_back(Event::Closed { message });
            }
            (MessageType::StartPublication, Role::Client) => self.paused = false,
            (MessageType::PausePublication, Role::Client) => self.paused = true,
            (message_type, _) => {
                tracing::debug!("ignored a message of type {}", message_type.as_str())
            }
        }
    }

    fn stream_data(&mut self, frame: Frame, now: Duration) {
        // The agent does not verify the digest, and some clients send an incorrect one.
        if self.role == Role::Client && !frame.is_intact() {
            return tracing::debug!("ignored a message with an incorrect digest");
        }
        let Frame { header, payload, .. } = frame;
        let payload_type = header.payload_type.unwrap_or(PayloadType::Absent);
        if !self.incoming.insert(header.sequence, payload_type, payload) {
            return;
        }
        self.paused = false;
        self.acknowledge(&header, payload_type, now);
        while let Some((payload_type, payload)) = self.incoming.pop() {
            self.last_active = now;
            self.deliver(payload_type, payload, now);
        }
    }

    fn deliver(&mut self, payload_type: PayloadType, payload: Bytes, now: Duration) {
        let event = match (payload_type, self.role) {
            (PayloadType::Output, _) | (PayloadType::StdErr, Role::Client) => Event::Bytes(payload),
            (PayloadType::ExitCode, Role::Client) => match parse_exit_code(&payload) {
                Some(code) => Event::ExitCode(code),
                None => return,
            },
            (PayloadType::HandshakeRequest, Role::Client) => {
                let response = self.handshake.answer(&payload, &self.client_version);
                return self.send(PayloadType::HandshakeResponse, &response, now);
            }
            (PayloadType::HandshakeComplete, Role::Client) => {
                self.handshake = Handshake::None;
                return;
            }
            (PayloadType::HandshakeResponse, Role::Server) if self.handshake.is_pending() => {
                self.complete_handshake(now);
                match handshake::is_accepted(&payload) {
                    true => return,
                    false => Event::HandshakeRefused,
                }
            }
            (PayloadType::Size, Role::Server) => match serde_json::from_slice(&payload) {
                Ok(size) => Event::Size(size),
                Err(_) => return,
            },
            (PayloadType::Flag, Role::Server) if *payload == TERMINATE_SESSION.to_be_bytes() => {
                Event::Terminate
            }
            (other, _) => return tracing::debug!("ignored a payload of type {other:?}"),
        };
        self.events.push_back(event);
    }

    /// Only terminal bytes have an answer, in the other direction, that an acknowledgement can be sent with.
    fn acknowledge(&mut self, of: &Header, payload_type: PayloadType, now: Duration) {
        let payload = json(&Acknowledge {
            message_type: of.message_type.as_str().into(),
            message_id: Cow::Owned(of.id.to_string()),
            sequence: of.sequence,
            is_sequential: true,
        });
        let header = Header {
            message_type: MessageType::Acknowledge,
            created: millis(now),
            sequence: 0,
            flags: SYN | FIN,
            id: self.next_id(),
            payload_type: Some(PayloadType::Absent),
        };
        let acknowledgement = header.encode(&payload);
        if payload_type == PayloadType::Output && !self.acknowledgements.is_full() {
            self.acknowledgements.push(acknowledgement, now);
        } else {
            self.transmit.extend(self.acknowledgements.take());
            self.transmit.push_back(acknowledgement);
        }
    }

    fn acknowledgement(&mut self, frame: &Frame, now: Duration) {
        let Ok(acknowledge) = serde_json::from_slice::<Acknowledge<'_>>(&frame.payload) else {
            return tracing::debug!("ignored an invalid acknowledgement");
        };
        // Some clients acknowledge every message as if it were output; only the id identifies the message.
        let id = acknowledge.message_id.parse().ok();
        if self.outgoing.acknowledge(acknowledge.sequence, id, now) {
            self.last_active = now;
            self.paused = false;
        }
    }
}
