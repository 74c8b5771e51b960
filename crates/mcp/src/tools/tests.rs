use serde_json::json;

use super::*;

#[test]
fn each_tool_has_schemas_that_hold_as_such_and_hints() {
    for tool in DEFINITIONS.iter() {
        let output = tool.output_schema.as_ref().expect("a schema of the result");
        for schema in [&tool.input_schema, output] {
            let schema = Value::from((**schema).clone());
            assert_eq!(schema["type"], "object", "{}", tool.name);
            jsonschema::meta::validate(&schema).expect("a schema");
        }
        assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
        let hints = tool.annotations.as_ref().expect("hints");
        assert_eq!(hints.read_only_hint.map(|reads| reads && hints.is_destructive()), Some(false));
    }
}

#[test]
fn arguments_that_a_tool_does_not_have_are_refused_by_name() {
    let arguments = |value: Value| value.as_object().unwrap().clone();
    let refused =
        parse::<job::Poll>(arguments(json!({"job": "job_1", "offset": 1}))).err().unwrap();
    assert!(refused.message().contains("unknown field `offset`"), "{refused:?}");
    let refused = parse::<job::Poll>(arguments(json!({"job": 7}))).err().unwrap();
    assert!(refused.message().contains("expected a string"), "{refused:?}");
    assert!(parse::<job::Poll>(arguments(json!({"job": "job_1", "cursor": null}))).is_ok());
}
