//! The audit: compares everything that the API shows with the knowledge of the clients, the commands and
//! the webhook receiver.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use adapters::clock::SystemClock;
use anyhow::Result;
use client::WebhookSink;
use domain::ports::Clock as _;
use fastrand::Rng;
use serde_json::{Value, json};
use testkit::Invariant;
use tokio::time::sleep;

use crate::{
    load::{Load, text},
    model::{Expected, is_final},
};

mod deliveries;
mod jobs;
mod run_log;
mod timeline;

const DRAINS_WITHIN: Duration = Duration::from_mins(2);
/// Time until the next attempt of a delivery whose lease a killed server held.
const NEXT_ATTEMPT: Duration = Duration::from_secs(45);

/// All records of one session, as the API shows them.
struct SessionRecords {
    session: Value,
    events: Vec<Value>,
    jobs: Vec<Value>,
    deliveries: Vec<Value>,
}

/// Stops all open sessions, and waits until no session and no delivery is open.
pub(crate) async fn drain(load: &Load) -> Result<()> {
    let mut rng = Rng::with_seed(0);
    for session in load.api.list("/sessions").await? {
        if !is_final(&session) {
            load.stop(&mut rng, &text(&session, "sessionId"), false, true).await;
        }
    }
    let began = Instant::now();
    loop {
        let open = open(load).await?;
        if open.is_empty() {
            return Ok(());
        }
        if began.elapsed() > DRAINS_WITHIN {
            for id in open {
                load.verdict.violated(Invariant::EveryWaitEnds, format!("{id} is still open"));
            }
            return Ok(());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The ids of open sessions, and of deliveries whose next attempt is near.
async fn open(load: &Load) -> Result<Vec<String>> {
    let sessions = load.api.list("/sessions").await?;
    let sessions = sessions.iter().filter(|session| !is_final(session));
    let mut open: Vec<_> = sessions.map(|session| text(session, "sessionId")).collect();
    let soon = after(NEXT_ATTEMPT);
    for delivery in load.api.list("/webhooks/deliveries").await? {
        let next = delivery["nextAttemptAt"].as_str();
        if next.is_some_and(|next| next < soon.as_str()) {
            open.push(text(&delivery, "deliveryId"));
        }
    }
    Ok(open)
}

/// Checks all invariants that the API can show, when nothing is open any more.
pub(crate) async fn audit(load: &Load, sink: &WebhookSink) -> Result<()> {
    let quota = load.api.get("/quota").await.body;
    load.verdict.check(
        (&quota["active"], &quota["queued"]) == (&json!(0), &json!(0)),
        Invariant::QuotaIsNeverExceeded,
        || {
            format!(
                "everything has ended, and {} are active, {} queued",
                quota["active"], quota["queued"]
            )
        },
    );
    let records = read_all(load).await?;
    let expected = load.model.expected();
    accepted(load, &expected, &records);
    for (id, records) in &records {
        load.verdict.check(is_final(&records.session), Invariant::EveryWaitEnds, || {
            format!("{id} is {}", records.session["status"])
        });
        timeline::check(load, &expected, id, records);
        jobs::check(load, &expected, id, records);
        run_log::check(load, &expected, id, records);
    }
    deliveries::check(load, &expected, sink, &records);
    Ok(())
}

async fn read_all(load: &Load) -> Result<BTreeMap<String, SessionRecords>> {
    let mut all = BTreeMap::new();
    let asked = Instant::now();
    for session in load.api.list("/sessions").await? {
        let id = text(&session, "sessionId");
        load.model.saw(&id, &session, asked, &load.verdict);
        let mut jobs = Vec::new();
        for job in load.api.list(&format!("/sessions/{id}/jobs")).await? {
            let job = text(&job, "jobId");
            let record = load.api.get(&format!("/jobs/{job}")).await.body;
            load.model.saw(&job, &record, asked, &load.verdict);
            jobs.push(whole(load, &job, record).await?);
        }
        let events = load.api.list(&format!("/sessions/{id}/events")).await?;
        let path = format!("/webhooks/deliveries?sessionId={id}");
        let deliveries = load.api.list(&path).await?;
        all.insert(id, SessionRecords { session, events, jobs, deliveries });
    }
    Ok(all)
}

/// The job with its whole stdout.
async fn whole(load: &Load, id: &str, mut job: Value) -> Result<Value> {
    let mut all = text(&job["stdout"], "text");
    let mut offset = job["stdout"]["nextOffset"].as_u64().unwrap_or(0);
    while offset < job["stdout"]["keptBytes"].as_u64().unwrap_or(0) {
        let path = format!("/jobs/{id}/output?stream=stdout&offset={offset}&limit=1000000");
        let part = load.api.get(&path).await.body;
        let next = part["nextOffset"].as_u64().unwrap_or(offset);
        load.verdict.check(next > offset, Invariant::EveryWaitEnds, || {
            format!("the output of {id} does not continue after {offset}")
        });
        if next <= offset {
            break;
        }
        all.push_str(&text(&part, "text"));
        offset = next;
    }
    job["stdout"]["text"] = json!(all);
    Ok(job)
}

/// The records are exactly those of the accepted requests.
fn accepted(load: &Load, expected: &Expected, records: &BTreeMap<String, SessionRecords>) {
    let known: BTreeSet<&String> = expected.sessions.keys().collect();
    let there: BTreeSet<&String> = records.keys().collect();
    for id in known.symmetric_difference(&there) {
        let evidence = format!("{id} is known only to the clients, or only to the server");
        load.verdict.violated(Invariant::AcceptedOnce, evidence);
    }
    let mut known: BTreeSet<String> = expected.runs.iter().map(|run| run.job.clone()).collect();
    known.extend(expected.stops.iter().map(|(_, job)| job.clone()));
    known.extend(expected.sessions.values().map(|session| session.start_job.clone()));
    known.extend(expected.sessions.values().flat_map(|session| session.audits.clone()));
    let there = records.values().flat_map(|records| &records.jobs).map(|job| text(job, "jobId"));
    for id in known.symmetric_difference(&there.collect()) {
        let evidence = format!("{id} is known only to the clients, or only to the server");
        load.verdict.violated(Invariant::AcceptedOnce, evidence);
    }
}

/// A time in the future, in the format of the API.
fn after(span: Duration) -> String {
    (SystemClock.now() + span).to_string()
}
