use proptest::prelude::*;

use super::*;

const OUT: Option<Stream> = Some(Stream::Stdout);
const ERR: Option<Stream> = Some(Stream::Stderr);

fn mark(offset: u64, stream: Option<Stream>) -> Mark {
    Mark { offset, stream }
}

fn read(bytes: &[u8]) -> Marks {
    Marks::read(bytes, StreamStats::NOTHING.plus(bytes.len() as u64))
}

#[test]
fn marks_are_numbers_with_the_distance_from_the_last_one_and_the_writer() {
    // 0 stdout; 300 bytes later stderr; 5 later stdout; 1 later nothing is known.
    let marks = read(&[0, 0xB1, 0x09, 20, 6]);
    let expected = [mark(0, OUT), mark(300, ERR), mark(305, OUT), mark(306, None)];
    assert_eq!(marks.of_part(0, 1000), expected);
}

#[test]
fn a_part_begins_with_a_mark_and_has_those_within_it() {
    let marks = read(&[1, 40, 41, 40]);
    assert_eq!(marks.of_part(0, 10), [mark(0, ERR)]);
    assert_eq!(marks.of_part(9, 11), [mark(9, ERR), mark(10, OUT)]);
    assert_eq!(marks.of_part(10, 20), [mark(10, OUT)]);
    assert_eq!(marks.of_part(15, 99), [mark(15, OUT), mark(20, ERR), mark(30, OUT)]);
    assert_eq!(marks.of_part(500, 501), [mark(500, OUT)]);
    assert_eq!(marks.of_part(7, 7), []);
}

#[test]
fn before_the_first_mark_nothing_is_known() {
    assert_eq!(read(&[]).of_part(0, 5), [mark(0, None)]);
    assert_eq!(read(&[13]).of_part(0, 5), [mark(0, None), mark(3, ERR)]);
}

#[test]
fn equal_marks_are_one_and_of_two_at_one_place_the_second_counts() {
    assert_eq!(read(&[0, 8, 9, 1]).of_part(0, 9), [mark(0, OUT), mark(4, ERR)]);
    assert_eq!(read(&[0, 10, 1]).of_part(0, 9), [mark(0, OUT), mark(2, ERR)]);
}

#[test]
fn from_the_last_mark_on_nothing_is_known_if_one_is_missing() {
    let cut = StreamStats { written: 9, ..StreamStats::NOTHING.plus(2) };
    assert_eq!(Marks::read(&[0, 9], cut).of_part(0, 9), [mark(0, OUT), mark(2, None)]);
    assert_eq!(read(&[0, 9, 0x80]).of_part(0, 9), [mark(0, OUT), mark(2, None)]);
}

proptest! {
    #[test]
    fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..64), from: u64, to: u64) {
        let part = read(&bytes).of_part(from, to);
        prop_assert!(part.is_sorted_by_key(|mark| mark.offset));
        prop_assert!(part.iter().all(|mark| (from..to).contains(&mark.offset)));
    }
}
