//! The JSON of records that earlier versions stored: later versions must read it, and write it the same.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

use crate::{job::Job, session::Session, timeline::Entry, warm::Warm, webhook::Delivery};

/// Reads each line as a record, and writes it again.
fn assert_stable<T: Serialize + DeserializeOwned + Debug>(lines: &str, states: &[&str]) {
    let mut found = Vec::new();
    for line in lines.lines() {
        let record: T = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        found.push(value.get("state").and_then(|s| s.as_str()).unwrap_or_default().to_owned());
    }
    assert_eq!(found, states);
}

#[test]
fn stored_sessions_of_every_state_are_read_and_written_unchanged() {
    let states =
        ["waiting", "queued", "provisioning", "starting", "ready", "stopping", "stopping", "ended"];
    assert_stable::<Session>(include_str!("records/sessions.jsonl"), &states);
}

#[test]
fn stored_jobs_of_every_state_are_read_and_written_unchanged() {
    let states = ["queued", "running", "finished", "finished", "finished", "finished", "finished"];
    assert_stable::<Job>(include_str!("records/jobs.jsonl"), &states);
}

#[test]
fn stored_deliveries_of_every_state_are_read_and_written_unchanged() {
    let states = ["pending", "settled"];
    assert_stable::<Delivery>(include_str!("records/deliveries.jsonl"), &states);
}

#[test]
fn stored_warm_tasks_of_every_state_are_read_and_written_unchanged() {
    let states = ["starting", "available", "claimed", "retired"];
    assert_stable::<Warm>(include_str!("records/warm.jsonl"), &states);
}

#[test]
fn a_stored_timeline_is_read_and_written_unchanged() {
    assert_stable::<Entry>(include_str!("records/timeline.jsonl"), &[""; 10]);
}
