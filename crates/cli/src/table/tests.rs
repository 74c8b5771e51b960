use insta::assert_snapshot;

use super::*;

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    console::set_colors_enabled(false);
    let rows = [vec!["a".to_owned(), "é".to_owned()], vec!["longer".to_owned(), String::new()]];
    assert_snapshot!(table(&["ONE", "TWO"], &rows), @r"
    ONE     TWO
    a       é
    longer
    ");
}

#[test]
fn properties_without_a_value_are_left_out() {
    let given = [("id", Some("1".to_owned())), ("reason", None), ("status", Some("up".to_owned()))];
    assert_snapshot!(properties(&given), @r"
    id      1
    status  up
    ");
}
