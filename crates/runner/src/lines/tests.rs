use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn encoded(bytes: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    encode_into(bytes, &mut lines);
    lines
}

fn decoded(mut decoder: Decoder, text: &[u8]) -> Result<Vec<u8>, LineError> {
    let mut out = Vec::new();
    decoder.feed(text, &mut out).map(|()| out)
}

proptest! {
    #[test]
    fn any_bytes_in_pieces_of_any_size_are_decoded_unchanged(
        bytes in vec(any::<u8>(), 0..10_000),
        size in 1..2_000_usize,
        crlf in any::<bool>(),
    ) {
        let mut text = format!("\x1b[?2004hStarting session\r\n$ {GREETING}\n").into_bytes();
        text.extend(encoded(&bytes));
        text.extend(END.as_bytes());
        if crlf {
            text = String::from_utf8(text).unwrap().replace('\n', "\r\n").into_bytes();
        }
        let (mut decoder, mut out) = (Decoder::before_greeting(), Vec::new());
        for piece in text.chunks(size) {
            // CR also ends the last line; the LF of its CRLF may arrive in a later piece.
            prop_assert!(!decoder.is_over() || piece == b"\n");
            decoder.feed(piece, &mut out).unwrap();
        }
        prop_assert!(decoder.is_greeted() && decoder.is_over());
        prop_assert_eq!(out, bytes);
    }

    #[test]
    fn no_input_makes_the_decoder_panic_or_buffer_without_limit(pieces in vec(vec(any::<u8>(), 0..4_000), 0..20)) {
        for mut decoder in [Decoder::before_greeting(), Decoder::open()] {
            for piece in &pieces {
                if decoder.feed(piece, &mut Vec::new()).is_err() {
                    break;
                }
                prop_assert!(decoder.line.len() <= MAX_LINE_CHARS);
            }
        }
    }
}

#[test]
fn lines_are_plain_text_that_a_terminal_takes() {
    let lines = encoded(&[0, 3, 4, 13, 26, 128, 255].repeat(2_000));
    assert!(lines.iter().all(|byte| byte.is_ascii_graphic() || *byte == b'\n'));
    assert!(lines.split(|byte| *byte == b'\n').all(|line| line.len() <= 4096));
}

#[test]
fn a_long_line_before_the_greeting_does_not_hide_it() {
    let mut decoder = Decoder::before_greeting();
    for _ in 0..100 {
        decoder.feed(&[b'x'; 1000], &mut Vec::new()).unwrap();
    }
    decoder.feed(GREETING.as_bytes(), &mut Vec::new()).unwrap();
    assert!(!decoder.is_greeted());
    decoder.feed(b"\r\n", &mut Vec::new()).unwrap();
    assert!(decoder.is_greeted());
}

#[test]
fn after_the_greeting_every_line_must_be_base64() {
    assert_eq!(decoded(Decoder::open(), b"aGk=\n\n\r\naG8=\n"), Ok(b"hiho".to_vec()));
    assert_eq!(decoded(Decoder::open(), b"aGk=\n----------ERROR-------\n"), Err(LineError));
    assert_eq!(decoded(Decoder::open(), &[b'a'; MAX_LINE_CHARS + 1]), Err(LineError));
}

#[test]
fn nothing_after_the_end_line_is_decoded() {
    assert_eq!(decoded(Decoder::open(), b"aGk=\n.\nwhat?\n"), Ok(b"hi".to_vec()));
}
