//! Webhooks: each subscribed event was sent, signed, under one id.

use std::collections::{BTreeMap, BTreeSet};

use client::{WebhookCall, WebhookSink};
use serde_json::Value;
use testkit::Invariant;

use super::SessionRecords;
use crate::{
    load::{Load, text},
    model::Expected,
};

pub(super) fn check(
    load: &Load,
    expected: &Expected,
    sink: &WebhookSink,
    records: &BTreeMap<String, SessionRecords>,
) {
    let mut calls: BTreeMap<String, Vec<WebhookCall>> = BTreeMap::new();
    for call in sink.calls() {
        calls.entry(call.id.clone()).or_default().push(call);
    }
    let mut known = BTreeSet::new();
    for (id, records) in records {
        let subscribed = expected.sessions.get(id).is_some_and(|known| known.secret.is_some());
        let owed = if subscribed { owed(records) } else { Vec::new() };
        let types = records.deliveries.iter().map(|delivery| text(delivery, "type"));
        let mut types: Vec<_> = types.collect();
        types.sort_unstable();
        load.verdict.check(types == owed, Invariant::EachEventIsDelivered, || {
            format!("the events of {id} are {owed:?}, its deliveries {types:?}")
        });
        for delivery in &records.deliveries {
            let name = text(delivery, "deliveryId");
            check_delivery(load, delivery, calls.get(&name).map_or(&[], Vec::as_slice));
            known.insert(name);
        }
        check_events(load, id, records, &calls);
    }
    for (id, calls) in &calls {
        load.verdict.check(known.contains(id), Invariant::EachEventIsDelivered, || {
            format!("{id} was received and has no record")
        });
        signed(load, expected, id, calls);
    }
}

/// The types of the events of a session, by its records, sorted.
fn owed(records: &SessionRecords) -> Vec<String> {
    let mut owed = vec![format!("session.{}", text(&records.session, "status"))];
    if records.session["readyAt"].is_string() {
        owed.push("session.ready".to_owned());
    }
    for job in records.jobs.iter().filter(|job| job["type"] == "execute") {
        let status = text(job, "status");
        if status != "cancelled" {
            owed.push(format!("job.{status}"));
        }
    }
    // Sessions of the load are too short for the event session.expiring.
    owed.sort_unstable();
    owed
}

fn check_delivery(load: &Load, delivery: &Value, calls: &[WebhookCall]) {
    let (id, status) = (text(delivery, "deliveryId"), text(delivery, "status"));
    let accepted = calls.iter().any(|call| call.accepted);
    let fits = match status.as_str() {
        "delivered" => accepted,
        // A delivery that was refused more than once waits for minutes.
        "pending" => delivery["nextAttemptAt"].is_string(),
        _ => false,
    };
    load.verdict.check(fits, Invariant::EachEventIsDelivered, || {
        format!("{id} is {status} and was received {} times", calls.len())
    });
    let same = calls.windows(2).all(|pair| pair[0].body == pair[1].body);
    load.verdict
        .check(same, Invariant::EachEventIsDelivered, || format!("{id} came with two bodies"));
}

/// The end of each job was sent under one id.
fn check_events(
    load: &Load,
    id: &str,
    records: &SessionRecords,
    calls: &BTreeMap<String, Vec<WebhookCall>>,
) {
    let mut jobs = BTreeSet::new();
    for delivery in &records.deliveries {
        let first = calls.get(&text(delivery, "deliveryId")).and_then(|calls| calls.first());
        let Some(event) = first.map(WebhookCall::event) else { continue };
        let fits = event["type"] == delivery["type"] && event["data"]["sessionId"] == id;
        load.verdict.check(fits, Invariant::EachEventIsDelivered, || {
            format!("{} contains another event", delivery["deliveryId"])
        });
        let job = text(&event["data"], "jobId");
        load.verdict.check(
            job.is_empty() || jobs.insert(job.clone()),
            Invariant::EachEventIsDelivered,
            || format!("the end of {job} was records under two ids"),
        );
    }
}

fn signed(load: &Load, expected: &Expected, id: &str, calls: &[WebhookCall]) {
    for call in calls {
        let session = text(&call.event()["data"], "sessionId");
        let secret = expected.sessions.get(&session).and_then(|known| known.secret.as_deref());
        load.verdict.check(
            secret.is_some_and(|secret| call.is_signed(secret)),
            Invariant::EachEventIsDelivered,
            || format!("{id} is not signed with the key of {session}"),
        );
    }
}
