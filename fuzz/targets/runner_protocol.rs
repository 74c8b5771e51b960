//! A runner and a server may be sent any bytes in pieces of any size. Decoding never panics, gives the same
//! messages for the same bytes however they are cut, and each message survives being encoded again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runner::{
    lines,
    protocol::{Decoder, Event, MAX_FRAME_BYTES, Message, Request},
};

/// The frames of the messages in these bytes, fed in pieces of this size, and whether an error followed.
fn frames<M: Message>(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = Decoder::<M>::default();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => frames.push(encoded(&message)),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

fn encoded<M: Message>(message: &M) -> Vec<u8> {
    let Ok(frame) = message.encode() else { return Vec::new() };
    assert!(frame.len() <= MAX_FRAME_BYTES + 4);
    let mut decoder = Decoder::<M>::default();
    decoder.feed(&frame);
    let again = decoder.next().expect("an encoded message can be decoded").expect("it is whole");
    assert_eq!(again.encode().expect("it was encoded before"), frame);
    frame
}

fn lines(bytes: &[u8], piece: usize, mut decoder: lines::Decoder) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let failed = bytes.chunks(piece).any(|piece| decoder.feed(piece, &mut out).is_err());
    (out, failed)
}

fuzz_target!(|data: &[u8]| {
    let Some((piece, bytes)) = data.split_first() else { return };
    let (piece, whole) = (usize::from(*piece) + 1, bytes.len().max(1));
    assert_eq!(frames::<Request>(bytes, piece), frames::<Request>(bytes, whole));
    assert_eq!(frames::<Event>(bytes, piece), frames::<Event>(bytes, whole));
    let _decoded = lines(bytes, piece, lines::Decoder::open());
    let _decoded = lines(bytes, piece, lines::Decoder::before_greeting());

    let mut sent = Vec::new();
    lines::encode_into(bytes, &mut sent);
    assert_eq!(lines(&sent, piece, lines::Decoder::open()), (bytes.to_vec(), false));
});
