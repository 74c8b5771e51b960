//! Webhooks: what was owed was sent, signed, under one id.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Told;
use crate::{
    book::Pages,
    load::{Load, text},
    sink::{Call, Sink},
    verdict::Invariant,
};

pub(super) fn check(load: &Load, pages: &Pages, sink: &Sink, told: &BTreeMap<String, Told>) {
    let calls = sink.calls();
    let mut known = BTreeSet::new();
    for (id, told) in told {
        let subscribed = pages.sessions.get(id).is_some_and(|known| known.secret.is_some());
        let owed = if subscribed { owed(told) } else { Vec::new() };
        let types = told.deliveries.iter().map(|delivery| text(delivery, "type"));
        let mut types: Vec<_> = types.collect();
        types.sort_unstable();
        load.verdict.check(types == owed, Invariant::EachEventIsDelivered, || {
            format!("{id} owes {owed:?} and has {types:?}")
        });
        for delivery in &told.deliveries {
            let name = text(delivery, "deliveryId");
            settled(load, delivery, calls.get(&name).map_or(&[], Vec::as_slice));
            known.insert(name);
        }
        told_once(load, id, told, &calls);
    }
    for (id, calls) in &calls {
        load.verdict.check(known.contains(id), Invariant::EachEventIsDelivered, || {
            format!("{id} was received and is of no record")
        });
        signed(load, pages, id, calls);
    }
}

/// The types of the events that a session's records owe, sorted.
fn owed(told: &Told) -> Vec<String> {
    let mut owed = vec![format!("session.{}", text(&told.session, "status"))];
    if told.session["readyAt"].is_string() {
        owed.push("session.ready".to_owned());
    }
    for job in told.jobs.iter().filter(|job| job["type"] == "execute") {
        let status = text(job, "status");
        if status != "cancelled" {
            owed.push(format!("job.{status}"));
        }
    }
    // A warning is owed only to a session that lives on to its end; those here are short.
    owed.sort_unstable();
    owed
}

fn settled(load: &Load, delivery: &Value, calls: &[Call]) {
    let (id, status) = (text(delivery, "deliveryId"), text(delivery, "status"));
    let taken = calls.iter().any(|call| call.taken);
    let fits = match status.as_str() {
        "delivered" => taken,
        // Refused more than once it waits for minutes.
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

/// Each job's end was told under one id.
fn told_once(load: &Load, id: &str, told: &Told, calls: &BTreeMap<String, Vec<Call>>) {
    let mut jobs = BTreeSet::new();
    for delivery in &told.deliveries {
        let first = calls.get(&text(delivery, "deliveryId")).and_then(|calls| calls.first());
        let Some(event) = first.map(Call::event) else { continue };
        let fits = event["type"] == delivery["type"] && event["data"]["sessionId"] == id;
        load.verdict.check(fits, Invariant::EachEventIsDelivered, || {
            format!("{} tells of something else", delivery["deliveryId"])
        });
        let job = text(&event["data"], "jobId");
        load.verdict.check(
            job.is_empty() || jobs.insert(job.clone()),
            Invariant::EachEventIsDelivered,
            || format!("the end of {job} was told under two ids"),
        );
    }
}

fn signed(load: &Load, pages: &Pages, id: &str, calls: &[Call]) {
    for call in calls {
        let session = text(&call.event()["data"], "sessionId");
        let secret = pages.sessions.get(&session).and_then(|known| known.secret.as_deref());
        load.verdict.check(
            secret.is_some_and(|secret| call.is_signed(id, secret)),
            Invariant::EachEventIsDelivered,
            || format!("{id} is not signed with the key of {session}"),
        );
    }
}
