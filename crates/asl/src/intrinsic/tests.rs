use super::{Call, CallError};
use crate::scope::Scope;
use proptest::prelude::*;
use serde_json::{Value, json};

fn input() -> Value {
    json!({
        "name": "Ada",
        "n": 5,
        "list": [1, 2, 3, 3, 4],
        "text": "a,b;;c",
        "json": "{\"foo\": [1]}",
        "left": { "a": { "x": 1 }, "b": 2 },
        "odd": { "k": 1, "l": [], "m": ["a", null, {}], "n": true },
        "right": { "a": { "y": 1 }, "c": 3 },
        "long": "x".repeat(10_001),
    })
}

fn eval(call: &str) -> Result<Value, CallError> {
    let (input, context) = (input(), json!({ "State": { "Name": "S" } }));
    Call::parse(call).unwrap().call(&Scope::new(&input, &context))
}

#[test]
fn each_function_behaves_as_documented() {
    let table = [
        ("States.Array()", json!([])),
        ("States.Array(1, 'two', null, true, $.n)", json!([1, "two", null, true, 5])),
        ("States.ArrayPartition($.list, 2)", json!([[1, 2], [3, 3], [4]])),
        ("States.ArrayContains($.list, 3)", json!(true)),
        ("States.ArrayContains($.list, 'x')", json!(false)),
        ("States.ArrayRange(1, 9, 2)", json!([1, 3, 5, 7, 9])),
        ("States.ArrayRange(3, 1, -1)", json!([3, 2, 1])),
        ("States.ArrayRange(1, 3, -1)", json!([])),
        ("States.ArrayGetItem($.list, 1)", json!(2)),
        ("States.ArrayLength($.list)", json!(5)),
        ("States.ArrayUnique($.list)", json!([1, 2, 3, 4])),
        ("States.Base64Encode('Data to encode')", json!("RGF0YSB0byBlbmNvZGU=")),
        ("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", json!("Data to encode")),
        ("States.Hash('abc', 'MD5')", json!("900150983cd24fb0d6963f7d28e17f72")),
        ("States.Hash('abc', 'SHA-1')", json!("a9993e364706816aba3e25717850c26c9cd0d89d")),
        (
            "States.Hash('abc', 'SHA-256')",
            json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ),
        ("States.JsonMerge($.left, $.right, false)", json!({ "a": { "y": 1 }, "b": 2, "c": 3 })),
        ("States.StringToJson($.json)", json!({ "foo": [1] })),
        ("States.StringToJson('')", json!(null)),
        ("States.StringToJson(' ')", json!(null)),
        ("States.StringToJson('-0')", json!(0)),
        ("States.StringToJson('[-0, {\"a\": -0}, 0.0, -1]')", json!([0, { "a": 0 }, 0.0, -1])),
        ("States.Array(-0)", json!([0])),
        ("States.JsonToString($.left)", json!("{\"a\":{\"x\":1},\"b\":2}")),
        ("States.MathAdd($.n, -1)", json!(4)),
        ("States.MathAdd(1.6, 1)", json!(3)),
        ("States.MathAdd(-2.5, 0)", json!(-2)),
        ("States.MathAdd(-3.5, 0)", json!(-3)),
        ("States.MathAdd(-0.5, 0)", json!(0)),
        ("States.MathAdd(-0.5, 0.5)", json!(1)),
        ("States.MathAdd(-1.49, -1.5)", json!(-2)),
        ("States.MathAdd(-1.5, -1.51)", json!(-3)),
        ("States.MathAdd(1.49, 1.5)", json!(3)),
        ("States.MathAdd(1.5, 1.51)", json!(4)),
        ("States.MathAdd(0.49999999999999994, 0)", json!(0)),
        ("States.ArrayRange(-2.5, 0.5, 1.4)", json!([-2, -1, 0, 1])),
        ("States.ArrayPartition($.list, 2.5)", json!([[1, 2, 3], [3, 4]])),
        ("States.StringSplit($.text, ',;')", json!(["a", "b", "c"])),
        ("States.Format('no holes')", json!("no holes")),
        ("States.Format('{} is {}', $.name, $.n)", json!("Ada is 5")),
        ("States.Format('{}', $.left)", json!("{a={x=1}, b=2}")),
        ("States.Format('{}', $.odd)", json!("{k=1, l=[], m=[a, null, {}], n=true}")),
        ("States.Format('{}', $.list)", json!("[1, 2, 3, 3, 4]")),
        ("States.Format('{}', $.list[9:])", json!("[]")),
        ("States.Format('{}{}{}', null, true, 1.1)", json!("nulltrue1.1")),
        ("States.Format('{} {} {}', 1.0, 1e7, 0.0001)", json!("1.0 1.0E7 1.0E-4")),
        ("States.Format('{} {}', 123456789.5, -0.25)", json!("1.234567895E8 -0.25")),
        (r"States.Format('it\'s \{{}\} \\', $.n)", json!(r"it's {5} \")),
        ("States.Format('{}', $$.State.Name)", json!("S")),
        (r"States.Array('it\'s')", json!(["it's"])),
        ("States.ArrayGetItem(States.StringSplit('a.b', '.'), 1)", json!("b")),
        ("States.Format('{}', $['name'])", json!("Ada")),
        ("States.Array( $.list[0:2] , 1 )", json!([[1, 2], 1])),
    ];
    for (call, expected) in table {
        assert_eq!(eval(call).unwrap(), expected, "{call}");
    }
    for long in ["SHA-384", "SHA-512"] {
        let digest = eval(&format!("States.Hash($.name, '{long}')")).unwrap();
        assert!(digest.as_str().unwrap().len() >= 96, "{long}");
    }
}

#[test]
fn invalid_arguments_fail_the_call() {
    let table = [
        "States.ArrayPartition($.list, 0)",
        "States.ArrayPartition($.name, 1)",
        "States.ArrayRange(1, 2, 0)",
        "States.ArrayRange(1, 1001, 1)",
        "States.ArrayGetItem($.list, 5)",
        "States.ArrayGetItem($.list, -1)",
        "States.ArrayLength($.name)",
        "States.Base64Encode($.long)",
        "States.Base64Decode('?')",
        "States.Base64Decode('/w==')",
        "States.Hash('abc', 'CRC')",
        "States.Hash($.long, 'MD5')",
        "States.JsonMerge($.left, 1, false)",
        "States.StringToJson('{')",
        "States.MathAdd('1', 1)",
        "States.MathAdd(9223372036854775807, 1)",
        "States.StringSplit($.n, ',')",
        "States.Format($.n)",
        "States.Format($.name, 1)",
    ];
    for call in table {
        assert!(matches!(eval(call), Err(CallError::Function(_))), "{call}");
    }
    let missing = eval("States.Array($.missing)").unwrap_err();
    assert!(matches!(missing, CallError::Path(path) if path == "$.missing"));
}

#[test]
fn an_invalid_call_is_refused_when_parsed() {
    let deep = format!("{}1{}", "States.Array(".repeat(11), ")".repeat(11));
    let table = [
        ("States.UUID()", "non-deterministic"),
        ("States.MathRandom(1, 2)", "non-deterministic"),
        ("States.Nothing()", "unknown function 'States.Nothing'"),
        ("States.ArrayLength()", "does not take 0 arguments"),
        ("States.Array(1", "a comma or ) is missing"),
        ("States.Array(1) 2", "unexpected text after the call"),
        ("States.Array('a)", "a quote is not closed"),
        ("States.Array(word)", "'word' is not a valid argument"),
        ("States.Array", "( is missing"),
        ("States.Format('{}')", "placeholders and arguments differ"),
        ("States.Format('{', 1)", "a brace"),
        ("States.JsonMerge($.a, $.b, true)", "only shallow merging"),
        (r#"States.StringToJson('{"a": "\"b\""}')"#, "a backslash may only escape"),
        (r"States.Array('\n')", "a backslash may only escape"),
        (deep.as_str(), "nested more than ten levels deep"),
    ];
    for (call, problem) in table {
        let error = Call::parse(call).unwrap_err();
        assert!(error.contains(problem), "{call}: {error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "States\\.(Format|Array)[(]?[-$.a-z0-9'\\\\{}(),\\[\\]: é]*") {
        if let Ok(call) = Call::parse(&text) {
            let (input, context) = (json!({}), json!({}));
            let _any = call.eval(&Scope::new(&input, &context));
        }
    }
}
