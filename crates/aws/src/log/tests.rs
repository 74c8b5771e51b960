use std::sync::{Arc, Mutex};

use domain::ports::BackendError;
use tracing::subscriber::with_default;

use super::*;

/// The lines that this logs.
fn logged(wished: Option<&str>, log: impl FnOnce()) -> Vec<Value> {
    let lines = Arc::new(Mutex::new(String::new()));
    let held = Arc::clone(&lines);
    with_default(subscriber(wished, move |line| held.lock().unwrap().push_str(line)), log);
    let lines = lines.lock().unwrap();
    lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn a_line_has_the_event_and_what_surrounds_it() {
    let lines = logged(None, || {
        let _outer = tracing::info_span!("request", request.id = "r-1", name = "outer").entered();
        let _inner = tracing::info_span!("handler", name = "sweep").entered();
        tracing::info!(tasks = 3, done = true, "swept\nall");
    });
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "swept\nall");
    assert_eq!((&line["tasks"], &line["done"]), (&3.into(), &true.into()));
    assert_eq!((&line["request.id"], &line["name"]), (&"r-1".into(), &"sweep".into()));
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn an_error_is_told_with_all_that_led_to_it() {
    let lines = logged(None, || {
        let error =
            BackendError::new("reading a session", std::io::Error::other("the wire is cut"));
        tracing::warn!(error = &error as &dyn Error, "a handler failed");
    });
    assert_eq!(lines[0]["error"], "reading a session failed: the wire is cut");
}

#[test]
fn others_say_nothing_below_info_whatever_is_wished() {
    let lines = logged(Some("trace"), || {
        tracing::trace!(target: "aws_sdk_sfn::client", "token");
        tracing::debug!(target: "lambda_runtime", "event");
        tracing::info!(target: "aws_sdk_sfn", "said");
        tracing::trace!(target: "handlers::sweep", "said");
    });
    let targets: Vec<&Value> = lines.iter().map(|line| &line["target"]).collect();
    assert_eq!(targets, ["aws_sdk_sfn", "handlers::sweep"]);
}

#[test]
fn what_is_wished_for_counts_for_ours() {
    let lines = logged(Some("warn,handlers=debug"), || {
        tracing::info!(target: "aws", "not this");
        tracing::debug!(target: "handlers", "this");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
}
