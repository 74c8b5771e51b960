use super::Utf8Stream;

#[test]
fn a_split_character_is_returned_when_it_is_complete() {
    let mut stream = Utf8Stream::default();
    let all = "aé€😀z".as_bytes();
    let each: Vec<String> = all.iter().map(|byte| stream.take(&[*byte])).collect();
    assert_eq!(each, ["a", "", "é", "", "", "€", "", "", "", "😀", "z"]);
}

#[test]
fn invalid_bytes_are_replaced() {
    let mut stream = Utf8Stream::default();
    assert_eq!(stream.take(b"a\xffb\xe2\x82c\xf0"), "a\u{fffd}b\u{fffd}c");
    assert_eq!(stream.take(b"x"), "\u{fffd}x");
}
