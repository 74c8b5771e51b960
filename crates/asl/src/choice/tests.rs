use super::matches;
use super::parse::rules;
use crate::machine::fields::Fields;
use crate::scope::Scope;
use serde_json::{Value, json};

/// The result of a rule as text, the error name if it fails, or the message if it is refused.
fn holds(mut rule: Value, input: &Value) -> String {
    rule["Next"] = "N".into();
    let state = json!({ "Choices": [rule] });
    let mut fields = Fields::new(Some("S"), state.as_object().unwrap());
    match rules(&mut fields) {
        Err(refusal) => refusal.to_string(),
        Ok(rules) => match rules[0].condition.holds(&Scope::new(input, &json!({}))) {
            Ok(holds) => holds.to_string(),
            Err(error) => error.into_failure("S", 2).error_name().to_owned(),
        },
    }
}

fn compare(left: Value, operator: &str, right: Value) -> String {
    let input = json!({ "left": left, "right": right.clone() });
    let constant = holds(json!({ "Variable": "$.left", operator: right }), &input);
    let path = format!("{operator}Path");
    assert_eq!(
        constant,
        holds(json!({ "Variable": "$.left", path: "$.right" }), &input),
        "{operator}"
    );
    constant
}

#[test]
fn each_relation_compares_constants_and_paths_alike() {
    let (early, late) = ("2024-01-01T00:00:00Z", "2024-01-01T00:30:00-01:00");
    let pairs = [
        ("Numeric", json!(1), json!(2.5)),
        ("String", json!("a"), json!("b")),
        ("Timestamp", json!(early), json!(late)),
    ];
    for (kind, small, large) in pairs {
        // Of small-large, equal and large-small, which hold?
        let table = [
            ("Equals", [false, true, false]),
            ("LessThan", [true, false, false]),
            ("LessThanEquals", [true, true, false]),
            ("GreaterThan", [false, false, true]),
            ("GreaterThanEquals", [false, true, true]),
        ];
        for (relation, expected) in table {
            let operator = format!("{kind}{relation}");
            let found = [
                compare(small.clone(), &operator, large.clone()),
                compare(small.clone(), &operator, small.clone()),
                compare(large.clone(), &operator, small.clone()),
            ];
            assert_eq!(found, expected.map(|holds| holds.to_string()), "{operator}");
        }
    }
    assert_eq!(compare(json!(true), "BooleanEquals", json!(true)), "true");
    assert_eq!(compare(json!(true), "BooleanEquals", json!(false)), "false");
    assert_eq!(compare(json!(1), "NumericEquals", json!(1.0)), "true");
    let same_moment = compare(json!("2024-01-01T01:00:00+01:00"), "TimestampEquals", json!(early));
    assert_eq!(same_moment, "true");
}

#[test]
fn a_value_of_another_type_makes_a_comparison_false() {
    for operator in ["StringEquals", "StringLessThan"] {
        assert_eq!(holds(json!({ "Variable": "$.v", operator: "1" }), &json!({ "v": 1 })), "false");
    }
    for value in [json!("1"), json!(null), json!(true), json!([1])] {
        let rule = json!({ "Variable": "$.v", "NumericEquals": 1 });
        assert_eq!(holds(rule, &json!({ "v": value })), "false");
    }
    let rule = json!({ "Variable": "$.v", "TimestampEquals": "2024-01-01T00:00:00Z" });
    assert_eq!(holds(rule, &json!({ "v": "yesterday" })), "false");
    let rule = json!({ "Variable": "$.v", "StringMatches": "*" });
    assert_eq!(holds(rule, &json!({ "v": 1 })), "false");
}

#[test]
fn each_is_operator_tests_its_type() {
    let values = [
        ("IsNull", json!(null)),
        ("IsBoolean", json!(false)),
        ("IsNumeric", json!(1.5)),
        ("IsString", json!("text")),
        ("IsTimestamp", json!("2024-01-01T00:00:00.123Z")),
    ];
    for (operator, _) in &values {
        for (own, value) in &values {
            let fits = own == operator || (*operator == "IsString" && *own == "IsTimestamp");
            let input = json!({ "v": value });
            let rule = |wanted: bool| json!({ "Variable": "$.v", *operator: wanted });
            assert_eq!(holds(rule(true), &input), fits.to_string(), "{operator} of {own}");
            assert_eq!(holds(rule(false), &input), (!fits).to_string(), "{operator} of {own}");
        }
    }
    for text in
        ["2024-01-01t00:00:00Z", "2024-01-01T00:00:00z", "2024-01-01 00:00:00Z", "2024-01-01"]
    {
        let rule = json!({ "Variable": "$.v", "IsTimestamp": true });
        assert_eq!(holds(rule, &json!({ "v": text })), "false", "{text}");
    }
}

#[test]
fn a_missing_variable_is_an_error_except_in_is_present() {
    let input = json!({ "there": null });
    let present = |path: &str, wanted: bool| json!({ "Variable": path, "IsPresent": wanted });
    assert_eq!(holds(present("$.there", true), &input), "true");
    assert_eq!(holds(present("$.missing", true), &input), "false");
    assert_eq!(holds(present("$.missing.deep", false), &input), "true");
    let rule = json!({ "Variable": "$.missing", "IsNull": true });
    assert_eq!(holds(rule, &input), "States.Runtime");
    let rule = json!({ "Variable": "$.there", "StringEqualsPath": "$.missing" });
    assert_eq!(holds(rule, &input), "States.Runtime");
}

#[test]
fn and_or_and_not_evaluate_lazily() {
    let yes = json!({ "Variable": "$.v", "IsPresent": true });
    let no = json!({ "Not": yes });
    let error = json!({ "Variable": "$.missing", "IsNull": true });
    let table = [
        (json!({ "And": [yes, yes] }), "true"),
        (json!({ "And": [yes, no] }), "false"),
        (json!({ "And": [no, error] }), "false"),
        (json!({ "And": [yes, error] }), "States.Runtime"),
        (json!({ "Or": [no, yes] }), "true"),
        (json!({ "Or": [no, no] }), "false"),
        (json!({ "Or": [yes, error] }), "true"),
        (json!({ "Not": { "And": [yes, { "Or": [no, yes] }] } }), "false"),
    ];
    for (rule, expected) in table {
        assert_eq!(holds(rule.clone(), &json!({ "v": 1 })), expected, "{rule}");
    }
}

#[test]
fn patterns_match_whole_texts() {
    let table = [
        ("log-*.txt", "log-1.txt", true),
        ("log-*.txt", "log-.txt", true),
        ("log-*.txt", "log-1.txt.gz", false),
        ("*", "", true),
        ("*a*b*", "xxaxxbxx", true),
        ("*aab", "aaab", true),
        ("a*", "b", false),
        (r"1\*2", "1*2", true),
        (r"1\*2", "1x2", false),
        (r"a\\*", r"a\x", true),
        ("", "", true),
        ("?", "x", false),
    ];
    for (pattern, text, expected) in table {
        assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
    }
}

#[test]
fn an_invalid_rule_is_refused_with_its_field() {
    let place = "state 'S', field 'Choices[0].";
    let table = [
        (json!({ "Variable": "$.v" }), "Variable': requires a comparison"),
        (json!({ "IsNull": true }), "Variable': is required"),
        (
            json!({ "Variable": "$.v[*]", "IsNull": true }),
            "Variable': '$.v[*]' is not a reference path",
        ),
        (json!({ "Variable": "$.v", "IsNull": "yes" }), "IsNull': must be true or false"),
        (
            json!({ "Variable": "$.v", "NumericEquals": "1" }),
            "NumericEquals': has a value of another type",
        ),
        (
            json!({ "Variable": "$.v", "TimestampEquals": "now" }),
            "TimestampEquals': has a value of another type",
        ),
        (
            json!({ "Variable": "$.v", "BooleanLessThan": true }),
            "BooleanLessThan': this comparison is not supported",
        ),
        (
            json!({ "Variable": "$.v", "IsNull": true, "IsString": true }),
            "IsString': cannot be combined with another comparison",
        ),
        (json!({ "Condition": "{% true %}" }), "Variable': is required"),
        (json!({ "And": [] }), "And': must be an array that is not empty"),
        (json!({ "Not": [] }), "Not': must be an object"),
        (json!({ "Variable": "$.v", "Not": {} }), "Variable': cannot be combined with 'Not'"),
        (
            json!({ "Or": [{ "Variable": "$.v", "IsNull": true, "Next": "X" }] }),
            "Or[0].Next': is only allowed in a top-level rule",
        ),
    ];
    for (rule, problem) in table {
        assert_eq!(holds(rule.clone(), &json!({})), format!("{place}{problem}"), "{rule}");
    }
}
