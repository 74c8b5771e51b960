use proptest::prelude::*;

use super::*;
use crate::message::Acknowledge;

/// Both written by AWS's client and by an independent encoder, byte for byte the same.
const DATA: &str = "\
    000000746f75747075745f73747265616d5f646174612020202020202020202020202020000000010000018bcfe5687b\
    000000000000000700000000000000008c9d0e1f2a3b4c5d0a1b2c3d4e5f4a6bcd2eca3535741f27a8ae40c31b0c41d4\
    057a7a7b912b33b9aed86485d1c84676000000010000000768656c6c6f0d0a";
const ACKNOWLEDGE_HEADER: &str = "\
    0000007461636b6e6f776c65646765202020202020202020202020202020202020202020000000010000018bcfe569c8\
    000000000000000000000000000000039766554433221100ffeeddccbbaa4988b96f8e8b2ea3a4b6509d530d53eb2b12\
    0abd61b20cd89ddc8fa323cef916e2a200000000000000b0";

fn bytes(hex: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(pair).collect()
}

fn data() -> Header {
    Header {
        message_type: MessageType::OutputStreamData,
        created: 1_700_000_000_123,
        sequence: 7,
        flags: 0,
        id: "0a1b2c3d-4e5f-4a6b-8c9d-0e1f2a3b4c5d".parse().unwrap(),
        payload_type: Some(PayloadType::Output),
    }
}

#[test]
fn a_payload_does_not_keep_the_buffer_that_it_was_read_into() {
    let read = Bytes::from([bytes(DATA), vec![0; 1 << 20]].concat());
    let frame = Frame::decode(read.slice(..bytes(DATA).len())).unwrap();
    assert!(read.is_unique());
    assert_eq!(&frame.payload[..], b"hello\r\n");
}

#[test]
fn data_is_encoded_and_decoded_as_by_aws() {
    assert_eq!(data().encode(b"hello\r\n"), bytes(DATA));

    let frame = Frame::decode(bytes(DATA).into()).unwrap();
    assert!(frame.is_intact());
    assert_eq!((frame.header, &frame.payload[..]), (data(), &b"hello\r\n"[..]));
}

#[test]
fn an_acknowledgement_is_encoded_and_decoded_as_by_aws() {
    let header = Header {
        message_type: MessageType::Acknowledge,
        created: 1_700_000_000_456,
        sequence: 0,
        flags: SYN | FIN,
        id: "ffeeddcc-bbaa-4988-9766-554433221100".parse().unwrap(),
        payload_type: Some(PayloadType::Absent),
    };
    let acknowledge = Acknowledge {
        message_type: "output_stream_data".into(),
        message_id: data().id.to_string().into(),
        sequence: 7,
        is_sequential: true,
    };
    let payload = serde_json::to_vec(&acknowledge).unwrap();
    let golden = [bytes(ACKNOWLEDGE_HEADER), payload.clone()].concat();
    assert_eq!(header.encode(&payload), golden);

    let frame = Frame::decode(golden.into()).unwrap();
    assert!(frame.is_intact());
    assert_eq!(frame.header, header);
    assert_eq!(serde_json::from_slice::<Acknowledge<'_>>(&frame.payload).unwrap(), acknowledge);
}

#[test]
fn a_short_header_has_no_payload_type_and_pads_with_nuls() {
    let header = Header { message_type: MessageType::ChannelClosed, payload_type: None, ..data() };
    let written = header.encode(b"{}");
    assert_eq!(written.len(), 112 + 4 + 2);
    assert_eq!(&written[..4], [0, 0, 0, 112]);
    assert_eq!(&written[4..36], b"channel_closed\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(&written[112..], [0, 0, 0, 2, b'{', b'}']);
    assert_eq!(Frame::decode(written).unwrap().header, header);
}

#[test]
fn padding_is_accepted_on_either_side() {
    for padded in ["\0\0input_stream_data  ", "  input_stream_data\0", "input_stream_data"] {
        let mut message = data().encode(b"").to_vec();
        message[TYPE].fill(b' ');
        message[4..4 + padded.len()].copy_from_slice(padded.as_bytes());
        let frame = Frame::decode(message.into()).unwrap();
        assert_eq!(frame.header.message_type, MessageType::InputStreamData);
    }
}

#[test]
fn the_payload_extends_to_the_end_whatever_its_length_field() {
    let mut message = data().encode(b"hello").to_vec();
    message[116..120].copy_from_slice(&2_u32.to_be_bytes());
    assert_eq!(Frame::decode(message.into()).unwrap().payload, "hello");
}

#[test]
fn a_message_with_an_invalid_digest_is_decoded_and_not_intact() {
    let mut message = data().encode(b"hello").to_vec();
    message[80] ^= 1;
    let frame = Frame::decode(message.into()).unwrap();
    assert!(!frame.is_intact());
    assert_eq!(frame.payload, "hello");
}

#[test]
fn each_malformed_message_has_its_own_error() {
    let decode = |bytes: &[u8]| Frame::decode(Bytes::copy_from_slice(bytes)).unwrap_err();
    let whole = data().encode(b"");
    assert_eq!(decode(b""), FrameError::TooShort(0));
    assert_eq!(decode(&whole[..119]), FrameError::TooShort(119));
    let mut message = whole.to_vec();
    message[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(decode(&message), FrameError::HeaderLength(u32::MAX));
    let mut message = whole.to_vec();
    message[TYPE].fill(b' ');
    assert_eq!(decode(&message), FrameError::MessageType);
    message[TYPE].fill(0xff);
    assert_eq!(decode(&message), FrameError::MessageType);
}

#[test]
fn an_id_is_parsed_only_in_its_canonical_form() {
    let text = "0a1b2c3d-4e5f-4a6b-8c9d-0e1f2a3b4c5d";
    assert_eq!(text.parse::<MessageId>().unwrap().to_string(), text);
    for wrong in ["", "0a1b2c3d4e5f4a6b8c9d0e1f2a3b4c5d", "0a1b2c3d-4e5f-4a6b-8c9d-0e1f2a3b4c5g"] {
        assert!(wrong.parse::<MessageId>().is_err(), "{wrong}");
    }
    let random = MessageId::from_random(u128::MAX).to_string();
    assert_eq!(random, "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

prop_compose! {
    fn any_header()(
        name in "[a-z_]{1,32}", created: u64, sequence: i64, flags: u64, id: u128, kind: Option<u32>,
    ) -> Header {
        let (message_type, payload_type) = (MessageType::from(&*name), kind.map(PayloadType::from));
        Header { message_type, created, sequence, flags, id: MessageId::from_random(id), payload_type }
    }
}

proptest! {
    #[test]
    fn an_encoded_message_decodes_to_itself(header in any_header(), payload: Vec<u8>) {
        let frame = Frame::decode(header.encode(&payload)).unwrap();
        prop_assert!(frame.is_intact());
        prop_assert_eq!(frame.header, header);
        prop_assert_eq!(frame.payload, payload);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        let _ = Frame::decode(bytes.into());
    }

    #[test]
    fn no_damaged_message_makes_the_decoder_panic(
        header in any_header(), payload: Vec<u8>, cut: prop::sample::Index, at: prop::sample::Index, with: u8,
    ) {
        let mut message = header.encode(&payload).to_vec();
        let place = at.index(message.len());
        message[place] = with;
        message.truncate(cut.index(message.len() + 1));
        if let Ok(frame) = Frame::decode(message.into()) {
            let _ = frame.is_intact();
        }
    }
}
