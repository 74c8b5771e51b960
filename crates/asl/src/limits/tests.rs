use super::{LimitError, MAX_BYTES, MAX_DEPTH, drop_deep, measure};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// `depth` nested arrays or objects.
fn nested(depth: usize) -> Value {
    (1..depth).fold(json!([]), |inner, level| match level % 2 {
        0 => Value::Object(Map::from_iter([("x".to_owned(), inner)])),
        _ => Value::Array(vec![inner]),
    })
}

#[test]
fn the_limits_are_exact() {
    assert_eq!(measure(&json!("x".repeat(MAX_BYTES - 2))), Ok(MAX_BYTES));
    assert_eq!(measure(&json!("x".repeat(MAX_BYTES - 1))), Err(LimitError::Bytes));
    assert!(measure(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(measure(&nested(MAX_DEPTH + 1)), Err(LimitError::Depth));
}

#[test]
fn a_value_of_any_depth_can_be_measured_and_dropped() {
    let deep = nested(50_000);
    assert_eq!(measure(&deep), Err(LimitError::Depth));
    drop_deep(deep);
}

fn values() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(6, 64, 5, |inner| {
        let object = prop::collection::btree_map(any::<String>(), inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            object.prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_size_is_the_length_of_the_json_text(value in values()) {
        prop_assert_eq!(measure(&value), Ok(value.to_string().len()));
    }
}
