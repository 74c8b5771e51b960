use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;

/// Not part of the schema.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Example {
    /// A number.
    count: Option<u32>,
    nested: Option<Nested>,
    required: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Nested {
    list: Vec<i64>,
}

#[test]
fn an_optional_field_is_described_as_one_that_can_be_left_out() {
    let schema = Value::from((*input::<Example>()).clone());
    assert_eq!(schema["properties"]["count"]["type"], "integer");
    assert_eq!(schema["properties"]["count"]["description"], "A number.");
    assert_eq!(schema["properties"]["nested"], json!({"$ref": "#/$defs/Nested"}));
    assert_eq!(schema["required"], json!(["required"]));
    assert_eq!(schema["additionalProperties"], false);
    let text = schema.to_string();
    assert!(
        !text.contains("null") && !text.contains("int64") && !text.contains("Not part"),
        "{text}"
    );
}
