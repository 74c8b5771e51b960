use serde_json::{Value, from_slice, from_str, json, to_value};

use super::*;
use crate::frame::MessageId;

#[test]
fn the_opening_message_is_what_aws_clients_send() {
    let (request, client) = (MessageId::from_random(1), MessageId::from_random(2));
    let open = OpenDataChannel::new(Token::new("secret"), request, client);
    assert_eq!(
        to_value(&open).unwrap(),
        json!({
            "MessageSchemaVersion": "1.0",
            "RequestId": "00000000-0000-4000-8000-000000000001",
            "TokenValue": "secret",
            "ClientId": "00000000-0000-4000-8000-000000000002",
            "ClientVersion": CLIENT_VERSION,
        })
    );
}

#[test]
fn an_opening_message_requires_only_its_token() {
    let open = OpenDataChannel::parse(r#"{"MessageSchemaVersion":1,"TokenValue":"secret"}"#);
    let open = open.unwrap();
    assert!(open.token.is("secret"));
    assert_eq!((open.client_id, open.client_version), (None, None));
    for wrong in ["", "[]", "{}", r#"{"TokenValue":7}"#, r#"{"TokenValue":"cut"#] {
        assert!(OpenDataChannel::parse(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn a_token_can_be_compared_and_is_never_shown() {
    let token = Token::new("secret");
    assert!(token.is("secret"));
    for other in ["", "secre", "secrets", "sacred"] {
        assert!(!token.is(other), "{other}");
    }
    let open = OpenDataChannel::new(token, MessageId::from_random(1), MessageId::from_random(2));
    assert!(!format!("{open:?} {open:#?}").contains("secret"));
}

#[test]
fn a_handshake_response_may_omit_optional_fields() {
    let answer = r#"{"ClientVersion":"1","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1}],"Errors":null}"#;
    let answer: HandshakeResponse = from_str(answer).unwrap();
    assert_eq!(answer.processed_client_actions[0].action_status, ActionStatus::Success as u32);
    assert_eq!((answer.errors, from_str::<HandshakeResponse>("{}").is_ok()), (None, true));
}

#[test]
fn channel_closed_may_omit_fields_and_have_unknown_ones() {
    let closed: ChannelClosed = from_str(r#"{"Output":"bye","New":{}}"#).unwrap();
    assert_eq!(closed.output, "bye");
    let written = to_value(&closed).unwrap();
    let fields: Vec<_> = written.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "CreatedDate",
        "DestinationId",
        "MessageId",
        "MessageType",
        "Output",
        "SchemaVersion",
        "SessionId",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn an_exit_code_is_parsed_in_the_format_of_the_agent() {
    assert_eq!(parse_exit_code(b"EXIT_CODE: 0"), Some(0));
    assert_eq!(parse_exit_code(b"EXIT_CODE: -7\n"), Some(-7));
    for wrong in [&b""[..], b"0", b"EXIT_CODE:", b"EXIT_CODE: x", b"\xff"] {
        assert_eq!(parse_exit_code(wrong), None);
    }
}

#[test]
fn payload_types_keep_their_numbers() {
    for number in 0..=20 {
        assert_eq!(u32::from(PayloadType::from(number)), number);
        assert_eq!(matches!(PayloadType::from(number), PayloadType::Other(_)), number > 12);
    }
}

#[test]
fn an_acknowledgement_requires_its_sequence_number() {
    assert!(from_slice::<Acknowledge<'_>>(b"{}").is_err());
    let least: Value = json!({"AcknowledgedMessageSequenceNumber": 3});
    let text = least.to_string();
    assert_eq!(from_str::<Acknowledge<'_>>(&text).unwrap().sequence, 3);
}
