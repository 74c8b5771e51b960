//! A session survives every malformed message of its client.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    endpoint::Endpoint,
    frame::{Frame, Header, MessageId},
};

prop_compose! {
    /// A message with a valid header and arbitrary contents.
    fn odd_message()(
        name in prop_oneof![
            Just("input_stream_data"), Just("acknowledge"), Just("channel_closed"),
            Just("output_stream_data"), Just("pause_publication"), Just("other"),
        ],
        sequence in prop_oneof![any::<i64>(), 1..20_i64], created: u64, flags: u64, id: u128,
        kind in prop_oneof![Just(None), (0..15_u32).prop_map(Some)],
        payload in prop_oneof![
            vec(any::<u8>(), 0..64),
            any::<i64>().prop_map(|number| {
                json!({"AcknowledgedMessageSequenceNumber": number}).to_string().into_bytes()
            }),
            Just(br#"{"cols":99999999,"rows":-1}"#.to_vec()),
            Just(br#"{"ProcessedClientActions":[{"ActionType":1}]}"#.to_vec()),
        ],
    ) -> Vec<u8> {
        let (message_type, payload_type) = (MessageType::from(name), kind.map(PayloadType::from));
        let id = MessageId::from_random(id);
        Header { message_type, created, sequence, flags, id, payload_type }.encode(&payload).to_vec()
    }
}

/// Messages, some of them truncated or with a changed byte, and random bytes.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (odd_message(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    prop_oneof![
        odd_message(),
        damaged.prop_map(|(mut message, index, byte, cut)| {
            let index = index.index(message.len());
            message[index] = byte;
            message.truncate(if cut { index } else { message.len() });
            message
        }),
        vec(any::<u8>(), 0..200),
    ]
}

/// Whether a message is neither the flag that ends a session nor the first message, which the test sends later.
fn is_harmless(message: &[u8]) -> bool {
    let first = Frame::decode(Bytes::copy_from_slice(message))
        .is_ok_and(|frame| frame.header.sequence == 0);
    !first && !message.ends_with(&[0, 0, 0, 2])
}

proptest! {
    #[test]
    fn no_messages_make_either_end_panic(messages in vec(message(), 0..50), handshake: bool) {
        let now = Duration::from_secs(1);
        let ends = [Endpoint::client(1, now), Endpoint::server(1, handshake, now)];
        for mut end in ends {
            end.connected(now);
            end.send(PayloadType::Output, b"x", now);
            for (at, message) in messages.iter().enumerate() {
                let now = now + Duration::from_millis(100) * at as u32;
                end.receive(message.clone().into(), now);
                end.elapsed(now);
                while end.poll_event().is_some() {}
            }
            // At most one answer for each message, and a few messages of the end itself.
            prop_assert!(end.backlog() <= 2 * messages.len() + 4);
        }
    }
}

#[test]
fn a_session_survives_malformed_messages() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let messages = vec(message(), 1..50);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(32));
    let outcome = runner.run(&messages, |messages| {
        runtime.block_on(survives(&messages));
        Ok(())
    });
    outcome.unwrap();
}

async fn survives(messages: &[Vec<u8>]) {
    let mut server = serve(Options::default()).await;
    let mut raw = server.raw().await;
    for message in messages.iter().filter(|message| is_harmless(message)) {
        raw.send_raw(message.clone()).await;
    }
    // The first message of the stream: valid messages may have been waiting for it.
    raw.send(0, PayloadType::Output, b"still here").await;
    loop {
        match server.event().await {
            Event::Bytes(bytes) if bytes == "still here" => break,
            Event::Bytes(_) | Event::Size { .. } => {}
            Event::Closed(closed) => panic!("{closed:?}"),
        }
    }
}
