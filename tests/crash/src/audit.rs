//! The audit: everything that the API tells, beside what the clients, the commands and the
//! webhooks' receiver know.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};
use testkit::Dice;
use tokio::time::sleep;

use crate::{
    book::{Pages, is_final},
    load::{Load, text},
    sink::Sink,
    verdict::Invariant,
};

mod deliveries;
mod jobs;
mod signed;
mod timeline;

const SETTLES_WITHIN: Duration = Duration::from_mins(2);
/// An attempt that the server's death cut short is repeated after its lease.
const NEXT_ATTEMPT: Duration = Duration::from_secs(45);

/// All of one session, as the API tells it.
struct Told {
    session: Value,
    events: Vec<Value>,
    jobs: Vec<Value>,
    deliveries: Vec<Value>,
}

/// Brings everything to its end: stops what still lives, waits for what is under way.
pub(crate) async fn settle(load: &Load) -> Result<()> {
    let mut dice = Dice::new(0);
    for session in load.api.list("/v1/sessions").await? {
        if !is_final(&session) {
            load.stop(&mut dice, &text(&session, "sessionId"), false, true).await;
        }
    }
    let began = Instant::now();
    loop {
        let open = open(load).await?;
        if open.is_empty() {
            return Ok(());
        }
        if began.elapsed() > SETTLES_WITHIN {
            for id in open {
                load.verdict.broken(Invariant::NothingHangs, format!("{id} is still open"));
            }
            return Ok(());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// What is not over: sessions, and deliveries whose next attempt is near.
async fn open(load: &Load) -> Result<Vec<String>> {
    let sessions = load.api.list("/v1/sessions").await?;
    let sessions = sessions.iter().filter(|session| !is_final(session));
    let mut open: Vec<_> = sessions.map(|session| text(session, "sessionId")).collect();
    let soon = after(NEXT_ATTEMPT);
    for delivery in load.api.list("/v1/webhooks/deliveries").await? {
        let next = delivery["nextAttemptAt"].as_str();
        if next.is_some_and(|next| next < soon.as_str()) {
            open.push(text(&delivery, "deliveryId"));
        }
    }
    Ok(open)
}

/// Checks everything against everything. Nothing may be open any more.
pub(crate) async fn audit(load: &Load, sink: &Sink) -> Result<()> {
    let quota = load.api.get("/v1/quota").await.body;
    load.verdict.check(
        (&quota["active"], &quota["queued"]) == (&json!(0), &json!(0)),
        Invariant::QuotaIsNeverExceeded,
        || format!("all is over, and {} are active, {} queued", quota["active"], quota["queued"]),
    );
    let told = read_all(load).await?;
    let pages = load.book.pages();
    accepted(load, &pages, &told);
    for (id, told) in &told {
        load.verdict.check(is_final(&told.session), Invariant::NothingHangs, || {
            format!("{id} is {}", told.session["status"])
        });
        timeline::check(load, &pages, id, told);
        jobs::check(load, &pages, id, told);
        signed::check(load, &pages, id, told);
    }
    deliveries::check(load, &pages, sink, &told);
    Ok(())
}

async fn read_all(load: &Load) -> Result<BTreeMap<String, Told>> {
    let mut all = BTreeMap::new();
    let asked = Instant::now();
    for session in load.api.list("/v1/sessions").await? {
        let id = text(&session, "sessionId");
        load.book.saw(&id, &session, asked, &load.verdict);
        let mut jobs = Vec::new();
        for job in load.api.list(&format!("/v1/sessions/{id}/jobs")).await? {
            let job = text(&job, "jobId");
            let record = load.api.get(&format!("/v1/jobs/{job}")).await.body;
            load.book.saw(&job, &record, asked, &load.verdict);
            jobs.push(whole(load, &job, record).await?);
        }
        let events = load.api.list(&format!("/v1/sessions/{id}/events")).await?;
        let path = format!("/v1/webhooks/deliveries?sessionId={id}");
        let deliveries = load.api.list(&path).await?;
        all.insert(id, Told { session, events, jobs, deliveries });
    }
    Ok(all)
}

/// The job with all of its stdout.
async fn whole(load: &Load, id: &str, mut job: Value) -> Result<Value> {
    let mut all = text(&job["stdout"], "text");
    let mut offset = job["stdout"]["nextOffset"].as_u64().unwrap_or(0);
    while offset < job["stdout"]["keptBytes"].as_u64().unwrap_or(0) {
        let path = format!("/v1/jobs/{id}/output?stream=stdout&offset={offset}&limit=1000000");
        let part = load.api.get(&path).await.body;
        let next = part["nextOffset"].as_u64().unwrap_or(offset);
        load.verdict.check(next > offset, Invariant::NothingHangs, || {
            format!("the output of {id} does not go on after {offset}")
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

/// What the clients had accepted is there, once, and nothing else.
fn accepted(load: &Load, pages: &Pages, told: &BTreeMap<String, Told>) {
    let known: BTreeSet<&String> = pages.sessions.keys().collect();
    let there: BTreeSet<&String> = told.keys().collect();
    for id in known.symmetric_difference(&there) {
        let evidence = format!("{id} is on one side only, of clients and records");
        load.verdict.broken(Invariant::AcceptedOnce, evidence);
    }
    let mut known: BTreeSet<String> = pages.runs.iter().map(|run| run.job.clone()).collect();
    known.extend(pages.stops.iter().map(|(_, job)| job.clone()));
    known.extend(pages.sessions.values().map(|session| session.start_job.clone()));
    known.extend(pages.sessions.values().flat_map(|session| session.audits.clone()));
    let there = told.values().flat_map(|told| &told.jobs).map(|job| text(job, "jobId"));
    for id in known.symmetric_difference(&there.collect()) {
        let evidence = format!("{id} is on one side only, of clients and records");
        load.verdict.broken(Invariant::AcceptedOnce, evidence);
    }
}

/// A time ahead, as the API writes it.
fn after(span: Duration) -> String {
    let now = std::time::SystemTime::now() + span;
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    domain::Timestamp::from_millis(millis).to_string()
}
