use std::sync::Arc;

use domain::ports::BackendError;
use parking_lot::Mutex;
use tracing::subscriber::with_default;

use super::*;

/// The lines that the closure logs.
fn logged(filter: Option<&str>, log: impl FnOnce()) -> Vec<Value> {
    let lines = Arc::new(Mutex::new(String::new()));
    let held = Arc::clone(&lines);
    with_default(subscriber(filter, move |line| held.lock().push_str(line)), log);
    let lines = lines.lock();
    lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn a_line_has_the_fields_of_the_event_and_its_spans() {
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
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn an_error_is_logged_with_the_chain_of_its_sources() {
    let lines = logged(None, || {
        let error =
            BackendError::new("reading a session", std::io::Error::other("connection reset"));
        tracing::warn!(error = &error as &dyn Error, "a handler failed");
    });
    assert_eq!(lines[0]["error"], "reading a session failed: connection reset");
}

#[test]
fn other_crates_log_nothing_below_info_whatever_the_filter() {
    let lines = logged(Some("trace"), || {
        tracing::trace!(target: "aws_sdk_sfn::client", "token");
        tracing::debug!(target: "lambda_runtime", "event");
        tracing::info!(target: "aws_sdk_sfn", "said");
        tracing::trace!(target: "handlers::sweep", "said");
        tracing::debug!(target: "adapters::shell", "said");
    });
    let targets: Vec<&Value> = lines.iter().map(|line| &line["target"]).collect();
    assert_eq!(targets, ["aws_sdk_sfn", "handlers::sweep", "adapters::shell"]);
}

#[test]
fn the_filter_applies_to_own_crates() {
    let lines = logged(Some("warn,handlers=debug"), || {
        tracing::info!(target: "aws", "not this");
        tracing::debug!(target: "handlers", "this");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
}
