use super::Runes;

#[test]
fn a_rune_that_is_cut_comes_when_it_is_whole() {
    let mut runes = Runes::default();
    let all = "aé€😀z".as_bytes();
    let each: Vec<String> = all.iter().map(|byte| runes.take(&[*byte])).collect();
    assert_eq!(each, ["a", "", "é", "", "", "€", "", "", "", "😀", "z"]);
}

#[test]
fn what_is_no_rune_is_replaced() {
    let mut runes = Runes::default();
    assert_eq!(runes.take(b"a\xffb\xe2\x82c\xf0"), "a\u{fffd}b\u{fffd}c");
    assert_eq!(runes.take(b"x"), "\u{fffd}x");
}
