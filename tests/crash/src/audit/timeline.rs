//! Timelines: no gaps, a possible order, and an allowed reason of the end.

use serde_json::Value;
use testkit::Invariant;

use super::SessionRecords;
use crate::{
    load::{Load, text},
    model::Expected,
};

/// Delay of a session's end at its time to live, in milliseconds; the server may be dead meanwhile.
const MAX_DELAY: i64 = 15_000;

pub(super) fn check(load: &Load, expected: &Expected, id: &str, records: &SessionRecords) {
    let violated = |what: &str| {
        load.verdict.violated(Invariant::TimelineHasNoGaps, format!("{id}: {what}"));
    };
    let events = &records.events;
    if !events.iter().map(|event| event["seq"].as_u64()).eq((1..=events.len() as u64).map(Some)) {
        violated("the numbers have gaps");
    }
    if events.first().is_none_or(|first| first["type"] != "accepted" || !first["from"].is_null()) {
        violated("the first entry is not the acceptance");
    }
    if events.last().is_none_or(|last| last["to"] != records.session["status"]) {
        violated("the last entry is not the session's state");
    }
    for pair in events.windows(2) {
        if pair[1]["from"] != pair[0]["to"] {
            violated("an entry does not start in the state of the previous entry");
        }
        if rank(&pair[1]["to"]) < rank(&pair[0]["to"]) {
            violated("a state comes after a later one");
        }
        if pair[1]["at"].as_str() < pair[0]["at"].as_str() {
            violated("the times are not in order");
        }
    }
    for once in ["accepted", "admitted", "ready", "stop_requested", "task_stopped", "stopped"] {
        if events.iter().filter(|event| event["type"] == once).count() > 1 {
            violated(&format!("{once} occurs twice"));
        }
    }
    end(load, expected, id, records);
}

/// Only the owner, the clock or the command of a one-shot session ends a session, unless the test killed
/// its shell.
fn end(load: &Load, expected: &Expected, id: &str, records: &SessionRecords) {
    let (session, reason) = (&records.session, text(&records.session, "reason"));
    let asked = ["user_stop", "ttl_expired", "idle_timeout", "command_finished"];
    let killed = expected.sessions.get(id).is_some_and(|known| known.killed);
    let fits = asked.contains(&reason.as_str()) || killed && reason == "task_exited";
    load.verdict.check(fits, Invariant::NoTaskWithoutRecord, || format!("{id} ended by {reason}"));
    let at = |field: &str| session[field].as_str().and_then(millis);
    if let (Some(expires), Some(ended)) = (at("expiresAt"), at("endedAt"))
        && reason == "ttl_expired"
    {
        load.verdict.check(
            ended - expires < MAX_DELAY,
            Invariant::NoTaskOutlivesItsSession,
            || format!("{id} ended {} ms after its time", ended - expires),
        );
    }
}

fn rank(status: &Value) -> usize {
    let order = ["queued", "provisioning", "starting", "ready", "stopping", "stopped", "failed"];
    order.iter().position(|name| status == name).unwrap_or(order.len())
}

/// A time of the API in milliseconds since 1970.
pub(super) fn millis(text: &str) -> Option<i64> {
    text.parse::<domain::Timestamp>().ok().map(domain::Timestamp::millis)
}
