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
fn a_part_of_a_character_waits_for_the_rest_while_the_output_grows() {
    assert_eq!(parts(b"\xf0\x9f", true), (String::new(), Encoding::Utf8, 10));
    assert_eq!(parts(b"\xf0\x9f", false), ("8J8=".into(), Encoding::Base64, 12));
}

#[test]
fn output_that_is_not_utf8_is_base64_as_a_whole() {
    assert_eq!(parts(b"a\xffb", true), ("Yf9i".into(), Encoding::Base64, 13));
    assert_eq!(parts(b"", true), (String::new(), Encoding::Utf8, 10));
}

#[test]
fn output_of_mostly_control_characters_is_base64() {
    assert_eq!(parts(&[0; 3], false), ("AAAA".into(), Encoding::Base64, 13));
    let coloured = b"\x1b[31mred\x1b[0m\r\n";
    assert_eq!(parts(coloured, false).1, Encoding::Utf8);
    let worst = [&[0_u8][..], b"\"\"\""].concat().repeat(256 * 1024);
    let (text, encoding, _) = parts(&worst, false);
    assert_eq!(encoding, Encoding::Utf8);
    // The answer, and the answer as the body in Lambda's.
    let body = serde_json::json!({ "text": text }).to_string();
    let whole = serde_json::json!({ "body": body }).to_string();
    assert!(whole.len() < 6_000_000, "{}", whole.len());
}
