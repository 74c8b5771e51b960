//! Timelines: without gaps, in an order that makes sense, to an end that somebody asked for.

use serde_json::Value;

use super::Told;
use crate::{
    book::Pages,
    load::{Load, text},
    verdict::Invariant,
};

/// How far a session may live beyond its time, in milliseconds: the server may be dead meanwhile.
const LATE: i64 = 15_000;

pub(super) fn check(load: &Load, pages: &Pages, id: &str, told: &Told) {
    let broken = |what: &str| {
        load.verdict.broken(Invariant::TimelineHasNoGaps, format!("{id}: {what}"));
    };
    let events = &told.events;
    if !events.iter().map(|event| event["seq"].as_u64()).eq((1..=events.len() as u64).map(Some)) {
        broken("the numbers have gaps");
    }
    if events.first().is_none_or(|first| first["type"] != "accepted" || !first["from"].is_null()) {
        broken("it does not begin with its acceptance");
    }
    if events.last().is_none_or(|last| last["to"] != told.session["status"]) {
        broken("it does not end in the session's state");
    }
    for pair in events.windows(2) {
        if pair[1]["from"] != pair[0]["to"] {
            broken("an entry does not begin where the one before ends");
        }
        if rank(&pair[1]["to"]) < rank(&pair[0]["to"]) {
            broken("it goes back");
        }
        if pair[1]["at"].as_str() < pair[0]["at"].as_str() {
            broken("it goes back in time");
        }
    }
    for once in ["accepted", "admitted", "ready", "stop_requested", "task_stopped", "stopped"] {
        if events.iter().filter(|event| event["type"] == once).count() > 1 {
            broken(&format!("it has {once} twice"));
        }
    }
    end(load, pages, id, told);
}

/// Nobody but the owner, the clock or a one shot's command ends a session whose shell we let live.
fn end(load: &Load, pages: &Pages, id: &str, told: &Told) {
    let (session, reason) = (&told.session, text(&told.session, "reason"));
    let asked = ["user_stop", "ttl_expired", "idle_timeout", "command_finished"];
    let killed = pages.sessions.get(id).is_some_and(|known| known.killed);
    let fits = asked.contains(&reason.as_str()) || killed && reason == "task_exited";
    load.verdict.check(fits, Invariant::NoTaskWithoutRecord, || format!("{id} ended by {reason}"));
    let at = |field: &str| session[field].as_str().and_then(millis);
    if let (Some(expires), Some(ended)) = (at("expiresAt"), at("endedAt"))
        && reason == "ttl_expired"
    {
        load.verdict.check(ended - expires < LATE, Invariant::NoTaskOutlivesItsSession, || {
            format!("{id} ended {} ms after its time", ended - expires)
        });
    }
}

fn rank(status: &Value) -> usize {
    let order = ["queued", "provisioning", "starting", "ready", "stopping", "stopped", "failed"];
    order.iter().position(|name| status == name).unwrap_or(order.len())
}

/// The API's times, as milliseconds since 1970.
pub(super) fn millis(text: &str) -> Option<i64> {
    text.parse::<domain::Timestamp>().ok().map(domain::Timestamp::millis)
}
