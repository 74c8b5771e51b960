use super::*;

#[test]
fn integers_may_be_written_as_floats_but_have_no_fraction() {
    let read = |value: Value| (integer(0..=10).read)(value).ok();
    assert_eq!(read(json!(3)), Some(3));
    assert_eq!(read(json!(3.0)), Some(3));
    assert_eq!(read(json!(-0.0)), Some(0));
    for wrong in [json!(3.5), json!(-1), json!(11), json!(1e18), json!("3"), json!(true)] {
        assert_eq!(read(wrong.clone()), None, "{wrong}");
    }
}

#[test]
fn a_field_error_is_located_by_a_json_pointer() {
    let error = FieldError::new("x").below("a/b~c").below("env");
    assert_eq!(error.pointer, "/env/a~1b~0c");
}
