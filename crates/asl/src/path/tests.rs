use super::Path;
use crate::scope::Scope;
use crate::state_error::StateError;
use serde_json::{Value, json};

fn input() -> Value {
    json!({
        "a": { "b": [10, 20, { "c": "deep" }], "key with space": 1, "it's": 2 },
        "list": [{ "n": 1, "m": 4 }, { "n": 2 }, { "m": 3 }],
        "null": null,
        "é": "accent"
    })
}

fn select(path: &str) -> Option<Value> {
    let (input, context) = (input(), json!({ "Execution": { "Name": "run" } }));
    let selected = Path::parse(path).unwrap().select(&Scope::new(&input, &context)).unwrap();
    selected.map(|selected| selected.into_owned())
}

#[test]
fn a_definite_path_selects_one_node() {
    let table = [
        ("$", Some(input())),
        ("$.a.b[0]", Some(json!(10))),
        ("$.a.b[-1].c", Some(json!("deep"))),
        ("$['a']['b'][2]['c']", Some(json!("deep"))),
        ("$[\"a\"].b[1]", Some(json!(20))),
        ("$.a['key with space']", Some(json!(1))),
        ("$.a['it\\'s']", Some(json!(2))),
        ("$.null", Some(Value::Null)),
        ("$.é", Some(json!("accent"))),
        ("$$.Execution.Name", Some(json!("run"))),
        ("$.missing", None),
        ("$.a.b.c", None),
        ("$.a.b[3]", None),
        ("$.a.b[-4]", None),
        ("$.null.x", None),
        ("$$.Task.Token", None),
    ];
    for (path, expected) in table {
        assert_eq!(select(path), expected, "{path}");
    }
}

#[test]
fn an_indefinite_path_collects_all_matches() {
    let table = [
        ("$.list[*].n", Some(json!([1, 2]))),
        ("$.list[0:2]", Some(json!([{ "n": 1, "m": 4 }, { "n": 2 }]))),
        ("$.list[-1:].m", Some(json!([3]))),
        ("$.list[::2].m", Some(json!([4, 3]))),
        ("$.a.b[0,1]", Some(json!([10, 20]))),
        ("$.list[0]['m','n','o']", Some(json!([4, 1]))),
        ("$..c", Some(json!(["deep"]))),
        ("$..['m']", Some(json!([4, 3]))),
        ("$.a.b[*].nothing", Some(json!([]))),
        ("$.a.b[5:9]", Some(json!([]))),
        ("$.list[0].*", Some(json!([4, 1]))),
        ("$.missing[*]", None),
    ];
    for (path, expected) in table {
        let found = select(path).map(|mut found| {
            // The order of an object's values does not matter here.
            if path.ends_with('*') {
                found.as_array_mut().unwrap().sort_by_key(|v| std::cmp::Reverse(v.as_i64()));
            }
            found
        });
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn an_invalid_or_unsupported_path_is_refused() {
    let table = [
        "",
        "a",
        "$a",
        "$.",
        "$.a.",
        "$[",
        "$['a",
        "$[x]",
        "$.a[]",
        "$[1:2:3:4]",
        "$[::0]",
        "$[?(@.n > 1)]",
        "$.a.length()",
        "$.a b",
        "$['a' 'b']",
        "$[(1)]",
        "$['a',]",
    ];
    for path in table {
        assert!(Path::parse(path).is_err(), "{path}");
    }
}

#[test]
fn a_reference_path_identifies_exactly_one_node() {
    for path in ["$", "$.a", "$.a['b'][0]", "$$.State.Name"] {
        assert!(Path::parse_reference(path).is_ok(), "{path}");
    }
    for path in ["$.a[*]", "$..a", "$.a[0:1]", "$.a[0,1]", "$['a','b']", "$.*"] {
        let problem = Path::parse_reference(path).unwrap_err();
        assert_eq!(problem, format!("'{path}' is not a reference path"));
    }
}

#[test]
fn insert_places_the_value_at_the_path() {
    let table = [
        (json!({ "a": 1 }), "$", json!("new"), Some(json!("new"))),
        (json!({ "a": 1 }), "$.b", json!(2), Some(json!({ "a": 1, "b": 2 }))),
        (json!({ "a": 1 }), "$.a", json!(2), Some(json!({ "a": 2 }))),
        (json!({}), "$.x.y.z", json!(1), Some(json!({ "x": { "y": { "z": 1 } } }))),
        (json!({ "a": [1, 2] }), "$.a[1]", json!(9), Some(json!({ "a": [1, 9] }))),
        (json!({ "a": [1] }), "$.a[1]", json!(9), None),
        (json!({ "a": 1 }), "$.a.b", json!(9), None),
        (json!([1]), "$.a", json!(9), None),
        (json!("text"), "$.a", json!(9), None),
    ];
    for (mut into, path, value, expected) in table {
        let result = Path::parse_reference(path).unwrap().insert(&mut into, value);
        match expected {
            Some(expected) => {
                assert!(result.is_ok(), "{path}");
                assert_eq!(into, expected, "{path}");
            }
            None => {
                let StateError::Failed { error, .. } = result.unwrap_err() else {
                    panic!("{path}")
                };
                assert_eq!(error, "States.ResultPathMatchFailure", "{path}");
            }
        }
    }
}
