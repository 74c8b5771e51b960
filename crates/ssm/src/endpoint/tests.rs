mod lossy;

use serde_json::{Value, from_slice, json};

use super::*;
use crate::{
    frame::Frame,
    message::{
        Acknowledge, HandshakeRequest, HandshakeResponse, RequestedAction, TERMINATE_SESSION,
    },
};

const START: Duration = Duration::from_secs(1_700_000_000);

fn at(millis: u64) -> Duration {
    START + Duration::from_millis(millis)
}

fn client() -> Endpoint {
    Endpoint::client(1, START)
}

fn server() -> Endpoint {
    Endpoint::server(2, false, START)
}

/// A stream message of the other end.
fn data(role: Role, sequence: i64, payload_type: PayloadType, payload: &[u8]) -> Bytes {
    let message_type = match role {
        Role::Client => MessageType::InputStreamData,
        Role::Server => MessageType::OutputStreamData,
    };
    let id = MessageId::from_random(sequence as u128);
    let payload_type = Some(payload_type);
    Header { message_type, created: 1, sequence, flags: 0, id, payload_type }.encode(payload)
}

fn output(sequence: i64, payload: &[u8]) -> Bytes {
    data(Role::Server, sequence, PayloadType::Output, payload)
}

fn input(sequence: i64, payload: &[u8]) -> Bytes {
    data(Role::Client, sequence, PayloadType::Output, payload)
}

/// A message of the service itself.
fn short(message_type: MessageType, payload: &[u8]) -> Bytes {
    let id = MessageId::from_random(9);
    Header { message_type, created: 1, sequence: 0, flags: 3, id, payload_type: None }
        .encode(payload)
}

fn acknowledgement(fields: &Value) -> Bytes {
    let header = Header {
        message_type: MessageType::Acknowledge,
        created: 1,
        sequence: 0,
        flags: SYN | FIN,
        id: MessageId::from_random(7),
        payload_type: Some(PayloadType::Absent),
    };
    header.encode(&serde_json::to_vec(fields).unwrap())
}

fn sent(endpoint: &mut Endpoint) -> Vec<Frame> {
    std::iter::from_fn(|| endpoint.poll_transmit())
        .map(|sent| Frame::decode(sent).unwrap())
        .collect()
}

fn events(endpoint: &mut Endpoint) -> Vec<Event> {
    std::iter::from_fn(|| endpoint.poll_event()).collect()
}

/// The acknowledged sequence numbers.
fn acknowledged(endpoint: &mut Endpoint) -> Vec<i64> {
    let acknowledgements = sent(endpoint).into_iter().map(|frame| {
        assert_eq!(frame.header.message_type, MessageType::Acknowledge);
        assert_eq!((frame.header.sequence, frame.header.flags), (0, 3));
        from_slice::<Acknowledge<'_>>(&frame.payload).unwrap().sequence
    });
    acknowledgements.collect()
}

fn bytes(text: &'static str) -> Event {
    Event::Bytes(Bytes::from_static(text.as_bytes()))
}

#[test]
fn sequence_numbers_start_at_zero_and_only_the_first_of_a_server_has_syn() {
    for (mut endpoint, syn) in [(client(), 0), (server(), SYN)] {
        endpoint.send(PayloadType::Output, b"a", at(0));
        endpoint.send(PayloadType::Output, b"b", at(0));
        let sent = sent(&mut endpoint).into_iter().map(|frame| frame.header);
        let sent: Vec<_> = sent.map(|header| (header.sequence, header.flags)).collect();
        assert_eq!(sent, [(0, syn), (1, 0)]);
    }
}

#[test]
fn early_and_repeated_messages_are_acknowledged_and_delivered_once_in_order() {
    let mut client = client();
    for (sequence, text) in [(1, "b"), (2, "c"), (0, "a"), (1, "b"), (0, "a")] {
        client.receive(output(sequence, text.as_bytes()), at(0));
    }
    assert_eq!(acknowledged(&mut client), [1, 2, 0, 1, 0]);
    assert_eq!(events(&mut client), [bytes("a"), bytes("b"), bytes("c")]);
}

#[test]
fn a_delayed_acknowledgement_is_sent_with_the_answer_or_after_the_delay() {
    let mut server = server().acknowledging_within(Duration::from_millis(5));
    let kinds = |server: &mut Endpoint| {
        let sent = sent(server).into_iter().map(|frame| frame.header.message_type);
        sent.collect::<Vec<_>>()
    };
    server.receive(input(0, b"key"), at(0));
    assert_eq!((kinds(&mut server), server.deadline()), (vec![], Some(at(5))));
    server.send(PayloadType::Output, b"key", at(1));
    let answer = [MessageType::OutputStreamData, MessageType::Acknowledge];
    assert_eq!(kinds(&mut server), answer);
    server.receive(acknowledgement(&json!({"AcknowledgedMessageSequenceNumber": 0})), at(2));
    assert_eq!(server.deadline(), None);

    server.receive(input(1, b"password"), at(10));
    server.elapsed(at(14));
    assert_eq!(kinds(&mut server), []);
    server.elapsed(at(15));
    assert_eq!((kinds(&mut server), server.deadline()), (vec![MessageType::Acknowledge], None));

    server.receive(input(2, b"left unacknowledged"), at(20));
    server.connected(at(21));
    server.elapsed(at(25));
    assert_eq!(kinds(&mut server), [MessageType::StartPublication]);
}

#[test]
fn only_some_acknowledgements_of_terminal_bytes_are_delayed() {
    let mut client = client().acknowledging_within(Duration::from_millis(5));
    for sequence in 0..100 {
        client.receive(output(sequence, b"much output"), at(0));
    }
    assert_eq!(acknowledged(&mut client), Vec::from_iter(0..99));
    client.receive(data(Role::Server, 100, PayloadType::ExitCode, b"EXIT_CODE: 3"), at(1));
    assert_eq!(acknowledged(&mut client), [99, 100]);
}

#[test]
fn a_message_too_far_ahead_is_not_acknowledged() {
    let mut server = server();
    server.receive(input(10_001, b"far"), at(0));
    server.receive(input(i64::MAX, b"farther"), at(0));
    assert_eq!(acknowledged(&mut server), [0; 0]);
    server.receive(input(10_000, b"near"), at(0));
    server.receive(input(-1, b"past"), at(0));
    assert_eq!(acknowledged(&mut server), [10_000, -1]);
    assert_eq!(events(&mut server), []);
}

#[test]
fn only_the_client_verifies_the_digest() {
    let damaged = |message: Bytes| {
        let mut message = message.to_vec();
        message[80] ^= 1;
        Bytes::from(message)
    };
    let mut client = client();
    client.receive(damaged(output(0, b"a")), at(0));
    assert_eq!((acknowledged(&mut client), events(&mut client)), (vec![], vec![]));
    client.receive(output(0, b"a"), at(0));
    assert_eq!((acknowledged(&mut client), events(&mut client)), (vec![0], vec![bytes("a")]));

    let mut server = server();
    server.receive(damaged(input(0, b"a")), at(0));
    assert_eq!((acknowledged(&mut server), events(&mut server)), (vec![0], vec![bytes("a")]));
}

#[test]
fn only_the_oldest_message_is_resent_until_it_is_acknowledged() {
    let mut client = client();
    client.send(PayloadType::Output, b"a", at(0));
    client.send(PayloadType::Output, b"b", at(0));
    sent(&mut client);
    assert_eq!(client.deadline(), Some(at(200)));
    client.elapsed(at(199));
    assert_eq!(sent(&mut client), []);
    for millis in [200, 400, 600] {
        assert_eq!(client.deadline(), Some(at(millis)));
        client.elapsed(at(millis));
        let again = sent(&mut client);
        assert_eq!((again.len(), again[0].header.sequence), (1, 0));
    }
    client.receive(acknowledgement(&json!({"AcknowledgedMessageSequenceNumber": 0})), at(600));
    client.elapsed(at(2000));
    assert_eq!(sent(&mut client)[0].header.sequence, 1);
}

#[test]
fn a_message_that_is_still_queued_is_not_resent() {
    let mut client = client();
    client.send(PayloadType::Output, b"a", at(0));
    assert_eq!(client.deadline(), None);
    client.elapsed(at(10_000));
    assert_eq!(client.backlog(), 1);
}

#[test]
fn acknowledgements_of_other_messages_are_ignored() {
    let mut server = server();
    server.send(PayloadType::Output, b"a", at(0));
    let id = sent(&mut server)[0].header.id.to_string();
    let other = MessageId::from_random(0).to_string();
    for (sequence, id) in [(1, &id), (-1, &id), (i64::MIN, &id), (0, &other)] {
        server.receive(
            acknowledgement(&json!({
                "AcknowledgedMessageSequenceNumber": sequence, "AcknowledgedMessageId": id,
            })),
            at(1),
        );
        assert!(!server.is_fully_acknowledged());
    }
    server.receive(acknowledgement(&json!("no object")), at(1));
    let right = json!({"AcknowledgedMessageSequenceNumber": 0, "AcknowledgedMessageId": id});
    server.receive(acknowledgement(&right), at(1));
    assert!(server.is_fully_acknowledged());
    server.receive(acknowledgement(&right), at(1));
    assert_eq!(server.deadline(), None);
}

#[test]
fn a_new_connection_receives_all_unacknowledged_messages_and_continues_the_numbers() {
    let mut server = server();
    server.connected(at(0));
    for text in [b"a", b"b", b"c"] {
        server.send(PayloadType::Output, text, at(0));
    }
    sent(&mut server);
    server.receive(acknowledgement(&json!({"AcknowledgedMessageSequenceNumber": 1})), at(1));
    server.receive(input(0, b"before"), at(1));
    server.connected(at(2));
    server.receive(input(1, b"after"), at(3));
    server.send(PayloadType::Output, b"d", at(3));

    let sent = sent(&mut server);
    let sent: Vec<_> = sent
        .iter()
        .map(|frame| (frame.header.message_type.as_str(), frame.header.sequence))
        .collect();
    let data = "output_stream_data";
    assert_eq!(
        sent,
        [("start_publication", 0), (data, 0), (data, 2), ("acknowledge", 0), (data, 3)]
    );
    assert_eq!(events(&mut server), [bytes("before"), bytes("after")]);
}

#[test]
fn a_client_accepts_only_the_session_type_in_a_handshake() {
    let mut client = client();
    let action = |name: &str| RequestedAction {
        action_type: name.to_owned(),
        action_parameters: json!({"SessionType": "InteractiveCommands"}),
    };
    let request = HandshakeRequest {
        agent_version: "3".to_owned(),
        requested_client_actions: ["SessionType", "KMSEncryption", "New"].map(action).into(),
    };
    let request = serde_json::to_vec(&request).unwrap();
    client.receive(data(Role::Server, 0, PayloadType::HandshakeRequest, &request), at(0));
    assert!(!client.may_send(), "the agent discards input before the end of the handshake");
    let sent = sent(&mut client);
    assert_eq!(sent[1].header.payload_type, Some(PayloadType::HandshakeResponse));
    let response: HandshakeResponse = from_slice(&sent[1].payload).unwrap();
    let statuses: Vec<_> =
        response.processed_client_actions.iter().map(|action| action.action_status).collect();
    assert_eq!(statuses, [1, 2, 3]);
    assert_eq!(response.errors.unwrap().len(), 2);

    client.receive(data(Role::Server, 1, PayloadType::HandshakeComplete, b"{}"), at(1));
    assert!(client.may_send());
}

#[test]
fn a_server_sends_data_after_the_answer_to_its_handshake() {
    let mut server = Endpoint::server(2, true, at(0));
    assert!(!server.may_send());
    assert_eq!(server.deadline(), None, "no client is connected yet");
    server.connected(at(500));
    let request = sent(&mut server).remove(1);
    assert_eq!((request.header.sequence, request.header.flags), (0, SYN));
    let mut client = client();
    client.receive(request.header.encode(&request.payload), at(510));
    for answer in std::iter::from_fn(|| client.poll_transmit()) {
        server.receive(answer, at(520));
    }
    assert!(server.may_send());
    let complete = sent(&mut server).pop().unwrap();
    assert_eq!(complete.header.payload_type, Some(PayloadType::HandshakeComplete));
    let complete: HandshakeComplete = from_slice(&complete.payload).unwrap();
    assert_eq!(complete.handshake_time_to_complete, 520_000_000);
    assert_eq!(events(&mut server), []);
}

#[test]
fn a_server_sends_data_after_a_handshake_timeout() {
    let mut server = Endpoint::server(2, true, at(0));
    server.connected(at(1000));
    sent(&mut server);
    server.receive(acknowledgement(&json!({"AcknowledgedMessageSequenceNumber": 0})), at(1001));
    server.receive(input(0, b"typed early"), at(1002));
    assert_eq!(server.deadline().filter(|_| sent(&mut server).len() == 1), Some(at(4000)));
    server.elapsed(at(4000));
    assert!(server.may_send());
    assert_eq!(events(&mut server), [bytes("typed early")]);
}

#[test]
fn a_refused_handshake_is_an_event() {
    let mut server = Endpoint::server(2, true, at(0));
    let refusal =
        json!({"ProcessedClientActions": [{"ActionType": "SessionType", "ActionStatus": 3}]});
    let refusal = serde_json::to_vec(&refusal).unwrap();
    server.receive(data(Role::Client, 0, PayloadType::HandshakeResponse, &refusal), at(1));
    assert_eq!(events(&mut server), [Event::HandshakeRefused]);
}

#[test]
fn a_client_ends_on_channel_closed_in_either_form() {
    let payload = br#"{"Output":"bye","SessionId":"s"}"#;
    let long = Header {
        message_type: MessageType::ChannelClosed,
        created: 0,
        sequence: 0,
        flags: 0,
        id: MessageId::from_random(9),
        payload_type: Some(PayloadType::Absent),
    };
    let expected = |message: &str| vec![Event::Closed { message: message.to_owned() }];
    for (message, expected) in [
        (short(MessageType::ChannelClosed, payload), expected("bye")),
        (long.encode(payload), expected("bye")),
        (short(MessageType::ChannelClosed, b"no JSON"), expected("")),
    ] {
        let mut client = client();
        client.receive(message.clone(), at(0));
        assert_eq!(events(&mut client), expected);
        let mut server = server();
        server.receive(message, at(0));
        assert_eq!(events(&mut server), []);
    }
}

#[test]
fn a_server_closes_as_the_service_does() {
    let mut server = server();
    server.close("the session", "bye", at(0));
    let closed = sent(&mut server).remove(0);
    assert_eq!(closed.header.payload_type, None);
    let closed: ChannelClosed = from_slice(&closed.payload).unwrap();
    assert_eq!((&*closed.session_id, &*closed.output), ("the session", "bye"));
}

#[test]
fn a_client_pauses_while_the_peer_is_disconnected() {
    for resumed in [
        short(MessageType::StartPublication, b"start_publication"),
        output(0, b"a"),
        acknowledgement(&json!({"AcknowledgedMessageSequenceNumber": 0})),
    ] {
        let mut client = client();
        client.send(PayloadType::Output, b"a", at(0));
        client.receive(short(MessageType::PausePublication, b"pause_publication"), at(0));
        assert!(!client.may_send());
        client.receive(resumed, at(1));
        assert!(client.may_send());
    }
}

#[test]
fn each_payload_type_is_an_event_at_the_end_that_supports_it() {
    let size = br#"{"cols":80,"rows":24}"#;
    let flag = TERMINATE_SESSION.to_be_bytes();
    let payloads: [(PayloadType, &[u8]); 8] = [
        (PayloadType::StdErr, b"e"),
        (PayloadType::ExitCode, b"EXIT_CODE: 3"),
        (PayloadType::ExitCode, b"EXIT_CODE: many"),
        (PayloadType::Size, size),
        (PayloadType::Size, b"{}"),
        (PayloadType::Flag, &flag),
        (PayloadType::Other(99), b"?"),
        (PayloadType::EncryptionChallengeRequest, b"{}"),
    ];
    let (mut client, mut server) = (client(), server());
    for (sequence, (payload_type, payload)) in (0..).zip(payloads) {
        client.receive(data(Role::Server, sequence, payload_type, payload), at(0));
        server.receive(data(Role::Client, sequence, payload_type, payload), at(0));
    }
    assert_eq!(events(&mut client), [bytes("e"), Event::ExitCode(3)]);
    assert_eq!(events(&mut server), [Event::Size(Size { cols: 80, rows: 24 }), Event::Terminate]);
    assert_eq!(acknowledged(&mut client).len(), payloads.len());
}

#[test]
fn messages_for_the_other_end_and_unknown_messages_are_ignored() {
    let (mut client, mut server) = (client(), server());
    client.receive(input(0, b"a"), at(0));
    server.receive(output(0, b"a"), at(0));
    for endpoint in [&mut client, &mut server] {
        endpoint.receive(short(MessageType::Other("news".to_owned()), b"x"), at(0));
        endpoint.receive(Bytes::from_static(b"garbage"), at(0));
        assert_eq!((sent(endpoint), events(endpoint)), (vec![], vec![]));
    }
}

#[test]
fn unacknowledged_messages_are_bounded() {
    for (length, most) in [(1, 2048), (1 << 20, 4)] {
        let mut client = client();
        let payload = vec![0; length];
        let mut count = 0;
        while client.may_send() {
            client.send(PayloadType::Output, &payload, at(0));
            count += 1;
        }
        assert_eq!(count, most);
        client.receive(acknowledgement(&json!({"AcknowledgedMessageSequenceNumber": 0})), at(1));
        assert!(client.may_send());
    }
}

#[test]
fn message_ids_are_distinct() {
    let mut ids = std::collections::HashSet::new();
    for seed in 0..100 {
        let mut client = Endpoint::client(seed << 64, START);
        ids.extend((0..100).map(|_| client.next_id()));
    }
    assert_eq!(ids.len(), 10_000);
}
