use super::*;

#[test]
fn events_are_decoded_for_every_chunking() {
    let text =
        b": hello\n\nid: 7\nevent: output\ndata: {\"a\":\ndata: 1}\n\nevent: end\ndata: {}\n\n";
    let whole = {
        let mut decoder = Decoder::default();
        decoder.feed(text);
        std::iter::from_fn(|| decoder.next()).collect::<Vec<_>>()
    };
    let mut decoder = Decoder::default();
    let mut cut = Vec::new();
    for byte in text {
        decoder.feed(&[*byte]);
        cut.extend(decoder.next());
    }

    assert_eq!(whole, cut);
    assert_eq!(whole.len(), 2);
    assert_eq!(whole[0].id, "7");
    assert_eq!(whole[0].name, "output");
    assert_eq!(whole[0].data, "{\"a\":\n1}");
}
