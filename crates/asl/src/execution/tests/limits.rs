//! Data beyond the limits fails quickly, with a named error and without a stack overflow.

use super::{Driver, History, TaskResult, error, output, single};
use crate::limits::MAX_DEPTH;
use crate::{Execution, Machine, Millis, Outcome, Step};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// `depth` nested objects with the key `x`.
fn nested(depth: usize) -> Value {
    (1..depth).fold(json!({}), |inner, _| Value::Object(Map::from_iter([("x".to_owned(), inner)])))
}

/// Runs with a reload after each step, so that every stored execution is read back.
fn run(definition: &Value, input: Value) -> Outcome {
    Driver::new(definition).reloading().run(input)
}

fn pass(fields: Value, input: Value) -> Outcome {
    let mut state = fields;
    state["Type"] = "Pass".into();
    run(&single(state), input)
}

/// Far longer than any case here takes, even on a busy machine. Without limits the cases take hours or
/// exhaust the memory.
const QUICKLY: Duration = Duration::from_secs(120);

fn assert_limit(outcome: &Outcome, case: &str) {
    assert_eq!(error(outcome), "States.DataLimitExceeded", "{case}");
}

#[test]
fn an_input_may_be_nested_up_to_the_limit() {
    assert_eq!(pass(json!({}), nested(MAX_DEPTH)), output(nested(MAX_DEPTH)));
    for depth in [MAX_DEPTH + 1, 1_000, 50_000] {
        assert_limit(&pass(json!({}), nested(depth)), &depth.to_string());
    }
}

#[test]
fn a_deep_answer_fails_the_task_whether_it_is_awaited_or_late() {
    let state = json!({ "Type": "Task", "Resource": "r",
        "Catch": [{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "C" }] });
    let mut definition = single(state);
    definition["States"]["C"] =
        json!({ "Type": "Pass", "OutputPath": "$.error.Error", "End": true });
    let machine = Machine::parse(&definition.to_string()).unwrap();
    let mut host = History::default();
    let mut execution = Execution::start(&machine, "run", json!({}), Millis(0));
    let Step::Invoke(call) = execution.step(&machine, Millis(0), &mut host) else { panic!() };
    execution.returned(&call.task, Ok(nested(50_000))).unwrap();
    assert!(execution.returned(&call.task, Ok(nested(50_000))).is_err());
    assert!(execution.answered("a.1.b", Ok(nested(50_000))).is_err());
    let stored = serde_json::to_string(&execution).unwrap();
    let mut execution: Execution = serde_json::from_str(&stored).unwrap();
    let done = execution.step(&machine, Millis(0), &mut host);
    assert_eq!(done, Step::Done(output(json!("States.DataLimitExceeded"))));
}

#[test]
fn every_stored_phase_can_be_read_back_at_the_maximum_depth() {
    let task = json!({ "Type": "Task", "Resource": "r", "Next": "W",
        "Retry": [{ "ErrorEquals": ["E"] }] });
    let definition = json!({ "StartAt": "T", "States": {
        "T": task, "W": { "Type": "Wait", "Seconds": 5, "Next": "P" },
        "P": { "Type": "Pass", "End": true },
    } });
    let results = [TaskResult::Error("E"), TaskResult::Output(nested(MAX_DEPTH))];
    let mut driver = Driver::new(&definition).answer("T", results).reloading();
    assert_eq!(driver.run(nested(MAX_DEPTH)), output(nested(MAX_DEPTH)));
}

#[test]
fn a_lambda_result_at_the_maximum_depth_exceeds_the_limit_once_it_is_wrapped() {
    let state = json!({ "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": { "FunctionName": "f" } });
    for (depth, expected) in [(MAX_DEPTH - 1, "succeeded"), (MAX_DEPTH, "States.DataLimitExceeded")]
    {
        let result = TaskResult::Output(nested(depth));
        let mut driver = Driver::new(&single(state.clone())).answer("S", [result]).reloading();
        assert_eq!(error(&driver.run(json!({}))), expected, "{depth}");
    }
}

#[test]
fn a_path_of_any_length_fails_quickly() {
    for count in [MAX_DEPTH + 1, 10_000, 100_000] {
        let path = format!("${}", ".x".repeat(count));
        let result = pass(json!({ "Result": 1, "ResultPath": path }), json!({}));
        assert_limit(&result, &count.to_string());
        for field in ["InputPath", "OutputPath"] {
            assert_eq!(error(&pass(json!({ field: path }), json!({}))), "States.Runtime");
        }
        let parameters = json!({ "Parameters": { "v.$": path } });
        assert_eq!(error(&pass(parameters, json!({}))), "States.Runtime");
        let indices = format!("${}", "[0]".repeat(count));
        assert_eq!(error(&pass(json!({ "InputPath": indices }), json!([[]]))), "States.Runtime");
        let catch = json!([{ "ErrorEquals": ["E"], "ResultPath": path, "Next": "C" }]);
        let mut definition = single(json!({ "Type": "Task", "Resource": "r", "Catch": catch }));
        definition["States"]["C"] = json!({ "Type": "Succeed" });
        let driver = Driver::new(&definition).answer("S", [TaskResult::Error("E")]);
        assert_limit(&driver.reloading().run(json!({})), &count.to_string());
    }
    let fits = format!("${}", ".x".repeat(MAX_DEPTH));
    let result = pass(json!({ "Result": 1, "ResultPath": fits }), json!({}));
    assert!(matches!(result, Outcome::Succeeded { .. }), "{result:?}");
}

/// Data with many nodes at every depth, close to the size limit.
fn bushy() -> Value {
    let leaves = Value::Array(vec![json!(1); 500]);
    (0..60).fold(leaves.clone(), |inner, _| json!([inner, leaves]))
}

#[test]
fn a_selection_of_too_many_nodes_fails_quickly() {
    let start = Instant::now();
    let paths = [
        "$..*..*..*".to_owned(),
        format!("$..*{}", "..*".repeat(5_000)),
        format!("$..{}", ["[*]"; 3].join("..")),
        format!("$[{}]", vec!["0"; 300_000].join(",")),
        format!("${}", "[0,0,0,0]".repeat(50)),
        format!("${}", "['x','x']".repeat(60)),
        "$..[0,1,0,1]..[0,1,0,1]..[0:]".to_owned(),
    ];
    for path in paths {
        let input = if path.contains('x') { nested(90) } else { bushy() };
        for state in [
            json!({ "InputPath": path }),
            json!({ "OutputPath": path }),
            json!({ "Parameters": { "v.$": path } }),
            json!({ "Parameters": { "v.$": format!("States.ArrayLength({path})") } }),
        ] {
            let mut state = state;
            state["Type"] = "Pass".into();
            let outcome = Driver::new(&single(state)).run(input.clone());
            assert_limit(&outcome, &path[..path.len().min(20)]);
        }
    }
    assert!(start.elapsed() < QUICKLY, "{:?}", start.elapsed());
}

#[test]
fn a_template_that_multiplies_its_data_fails_quickly() {
    let start = Instant::now();
    let large = json!({ "l": "x".repeat(200 * 1024), "t": "{}".repeat(50_000) });
    let fields: Map<_, _> = (0..5_000).map(|n| (format!("{n}.$"), json!("$.l"))).collect();
    let many = "$.l, ".repeat(5_000);
    let expressions = [
        format!("States.Array({many}1)"),
        format!("States.Format('{}', {many}1)", "{}".repeat(5_001)),
        format!("States.ArrayLength(States.Array({many}1))"),
        "States.Array(States.Array($, $), States.Array($, $))".to_owned(),
        "States.StringSplit(States.Format('{}{}', $.l, $.l), 'y')".to_owned(),
    ];
    let expressions = expressions.map(|expression| json!({ "v.$": expression }));
    for parameters in expressions.into_iter().chain([Value::Object(fields)]) {
        let outcome = pass(json!({ "Parameters": parameters }), large.clone());
        assert_limit(&outcome, &parameters.to_string()[..40]);
    }
    assert!(start.elapsed() < QUICKLY, "{:?}", start.elapsed());
}

#[test]
fn functions_and_comparisons_on_the_largest_data_take_linear_time() {
    let start = Instant::now();
    let text = "a".repeat(60 * 1024);
    let input = json!({ "s": text, "p": text, "n": (0..15_000).collect::<Vec<_>>() });
    for expression in [
        "States.ArrayLength(States.StringSplit($.s, $.p))",
        "States.ArrayLength(States.ArrayUnique($.n))",
        "States.ArrayLength(States.ArrayPartition($.n, 1))",
    ] {
        let outcome = pass(json!({ "Parameters": { "v.$": expression } }), input.clone());
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{expression}: {outcome:?}");
    }
    let pattern = format!("{}b", "*a".repeat(60_000));
    let rule = json!({ "Variable": "$.s", "StringMatches": pattern, "Next": "S" });
    let definition = json!({ "StartAt": "C", "States": {
        "C": { "Type": "Choice", "Choices": [rule], "Default": "D" },
        "S": { "Type": "Succeed" }, "D": { "Type": "Succeed" },
    } });
    let mut driver = Driver::new(&definition);
    driver.run(input);
    assert_eq!(driver.states(), ["C", "D"]);
    assert!(start.elapsed() < QUICKLY, "{:?}", start.elapsed());
}

fn endless(state: Value) -> Value {
    let mut state = state;
    state["Next"] = "C".into();
    json!({ "StartAt": "P", "States": {
        "P": state, "S": { "Type": "Succeed" },
        "C": { "Type": "Choice", "Default": "P",
            "Choices": [{ "Variable": "$.out", "IsPresent": true, "Next": "S" }] },
    } })
}

#[test]
fn a_loop_that_wraps_or_multiplies_its_data_fails_quickly() {
    let start = Instant::now();
    let states = [
        json!({ "Type": "Pass", "Parameters": { "x.$": "$" } }),
        json!({ "Type": "Pass", "Parameters": { "x.$": "States.Array($)" } }),
        json!({ "Type": "Pass", "Parameters": { "x.$": "$", "y.$": "$" } }),
        json!({ "Type": "Pass", "Parameters": { "x.$": "States.JsonToString($)" } }),
        json!({ "Type": "Pass", "ResultPath": "$.x" }),
    ];
    for state in states {
        let mut driver = Driver::new(&endless(state.clone()));
        assert_limit(&driver.run(json!({ "a": 1 })), &state.to_string());
    }
    assert!(start.elapsed() < QUICKLY, "{:?}", start.elapsed());
}

/// A host that keeps no history.
struct Discard;

impl crate::Host for Discard {
    fn random(&mut self) -> u64 {
        0
    }
}

#[test]
fn a_loop_that_passes_on_the_largest_data_does_not_copy_it() {
    let start = Instant::now();
    let machine = Machine::parse(&endless(json!({ "Type": "Pass" })).to_string()).unwrap();
    let input = json!({ "n": vec![1; 100_000] });
    let mut execution = Execution::start(&machine, "run", input, Millis(0));
    let done = execution.step(&machine, Millis(0), &mut Discard);
    assert!(matches!(done, Step::Done(outcome) if error(&outcome) == "States.Runtime"));
    assert!(start.elapsed() < QUICKLY, "{:?}", start.elapsed());
}

#[test]
fn a_task_that_is_retried_for_ever_is_ended_with_its_history() {
    let retry = json!([{ "ErrorEquals": ["E"], "MaxAttempts": 99_999_999, "BackoffRate": 1.0 }]);
    let state = json!({ "Type": "Task", "Resource": "r", "Retry": retry });
    let results = std::iter::repeat_n(TaskResult::Error("E"), 10_000);
    let mut driver = Driver::new(&single(state)).answer("S", results);
    let Outcome::Failed(failure) = driver.run(json!({})) else { panic!() };
    let cause = "The execution reached the maximum number of history events (25000).";
    assert_eq!((failure.error_name(), failure.cause.as_deref()), ("States.Runtime", Some(cause)));
}
