use super::*;

#[test]
fn sequences_for_terminals_and_control_characters_are_removed() {
    let table: [(&[u8], &str); 9] = [
        (b"plain\ttext\n", "plain\ttext\n"),
        (b"\x1b[31mred\x1b[0m and \x1b[1;4mbold\x1b[m", "red and bold"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"a\x00b\x07c\x08d\x7f", "abcd"),
        (b" 10%\r 50%\r100%\ndone\n", "100%\ndone\n"),
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        (b"waiting\r", "waiting"),
        ("gr\u{fc}n \u{9b}31m \u{1F980}".as_bytes(), "gr\u{fc}n 31m \u{1F980}"),
    ];
    for (bytes, expected) in table {
        assert_eq!(readable(bytes), expected, "{}", String::from_utf8_lossy(bytes).escape_debug());
    }
}

#[test]
fn bytes_that_are_no_text_are_shown_as_such() {
    assert_eq!(readable(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
}

#[test]
fn a_sequence_that_is_cut_hides_nothing_else() {
    assert_eq!(readable(b"text \x1b[3"), "text ");
}

#[test]
fn characters_that_a_part_cuts_are_left_out() {
    let euro = "\u{20ac}".as_bytes();
    assert_eq!(without_cut_characters(&[&euro[1..], b"abc".as_slice()].concat()), b"abc");
    assert_eq!(without_cut_characters(&[b"abc".as_slice(), &euro[..2]].concat()), b"abc");
    assert_eq!(without_cut_characters(b"abc\xff"), b"abc\xff");
    assert_eq!(without_cut_characters(b"\x80\x80"), b"\x80\x80");
    assert_eq!(without_cut_characters(b""), b"");
}
