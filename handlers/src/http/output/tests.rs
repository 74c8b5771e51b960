use super::*;

fn parts(bytes: &[u8], growing: bool) -> (String, Encoding, u64) {
    let part = encode(bytes.to_vec(), 10, growing);
    (part.text, part.encoding, part.next_offset)
}

#[test]
fn a_cut_character_is_left_to_the_next_part() {
    let bytes = "aé".as_bytes();
    assert_eq!(parts(&bytes[..2], false), ("a".into(), Encoding::Utf8, 11));
    assert_eq!(parts(bytes, false), ("aé".into(), Encoding::Utf8, 13));
}

#[test]
fn half_a_character_waits_for_the_rest_while_there_may_be_one() {
    assert_eq!(parts(b"\xf0\x9f", true), (String::new(), Encoding::Utf8, 10));
    assert_eq!(parts(b"\xf0\x9f", false), ("8J8=".into(), Encoding::Base64, 12));
}

#[test]
fn what_is_no_text_is_base64_as_a_whole() {
    assert_eq!(parts(b"a\xffb", true), ("Yf9i".into(), Encoding::Base64, 13));
    assert_eq!(parts(b"", true), (String::new(), Encoding::Utf8, 10));
}
