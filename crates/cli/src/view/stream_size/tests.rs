use super::*;

fn cut(kept_bytes: u64, bytes: u64) -> Option<String> {
    StreamSize { bytes, kept_bytes, truncated: kept_bytes < bytes }.cut()
}

#[test]
fn output_that_was_not_kept_is_given_in_readable_units() {
    for (kept, all, amount) in [
        (1_048_576, 3_000_000, "1.0 of 2.9 MiB"),
        (1_048_576, 1_048_600, "1048576 of 1048600 bytes"),
        (65_536, 100_000, "64.0 of 97.7 KiB"),
        (100, 3_000_000, "100 of 3000000 bytes"),
        (0, 3_000_000, "0.0 of 2.9 MiB"),
        (1, 2, "1 of 2 bytes"),
    ] {
        let expected = format!("output cut: {amount} kept; --max-output BYTES keeps more");
        assert_eq!(cut(kept, all), Some(expected));
    }
    assert_eq!(cut(7, 7), None);
}

#[test]
fn the_stream_that_was_cut_is_named() {
    let whole = StreamSize { bytes: 3, kept_bytes: 3, truncated: false };
    let cut = StreamSize { bytes: 9, kept_bytes: 3, truncated: true };
    let remark = "output cut: 3 of 9 bytes kept; --max-output BYTES keeps more";
    assert_eq!(StreamSize::cuts(&[whole, cut]), [format!("stderr: {remark}")]);
    assert_eq!(
        StreamSize::cuts(&[cut, cut]),
        [format!("stdout: {remark}"), format!("stderr: {remark}")]
    );
    assert!(StreamSize::cuts(&[whole, StreamSize::NOTHING]).is_empty());
}

#[test]
fn a_gap_is_given_in_readable_units() {
    for (bytes, line) in [
        (1, "… 1 bytes left out …"),
        (1_023, "… 1023 bytes left out …"),
        (10_240, "… 10.0 KiB left out …"),
        (1_992_294, "… 1.9 MiB left out …"),
    ] {
        assert_eq!(left_out(bytes), line);
    }
}
