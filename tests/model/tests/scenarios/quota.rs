//! The quota of active sessions.

use std::time::Duration;

use domain::session::Status;
use serde_json::json;

use crate::harness::{Harness, QUOTA, user};

#[test]
fn a_start_above_the_quota_is_refused_and_leaves_nothing() {
    let mut harness = Harness::new();
    for _ in 0..QUOTA {
        harness.start(&json!({}));
    }
    let (status, body) = harness.post("/v1/shell/start", &json!({}));
    assert_eq!(status, 429, "{body}");
    assert_eq!(harness.fakes.store.all_sessions().len(), QUOTA as usize);
    let (_, quota) = harness.get("/v1/quota");
    assert_eq!((&quota["active"], &quota["limit"]), (&json!(QUOTA), &json!(QUOTA)));
}

#[test]
fn waiting_sessions_get_slots_in_order() {
    let mut harness = Harness::new();
    let running: Vec<_> = (0..QUOTA).map(|_| harness.ready(&json!({}))).collect();
    let waiting = [(); 3].map(|()| harness.start(&json!({"admission": "queue"})));
    let position = |harness: &Harness, at: usize| {
        harness.get(&format!("/v1/sessions/{}", waiting[at])).1["position"].clone()
    };
    assert_eq!([0, 1, 2].map(|at| position(&harness, at)), [json!(1), json!(2), json!(3)]);

    harness.stop(running[0]);
    harness.run_until_idle();
    assert_eq!(harness.status(waiting[0]), Status::Ready);
    assert_eq!([1, 2].map(|at| position(&harness, at)), [json!(1), json!(2)]);

    // The first waiting session is stopped: the next one moves up.
    harness.stop(waiting[1]);
    harness.stop(running[1]);
    harness.run_until_idle();
    assert_eq!(harness.status(waiting[1]), Status::Stopped);
    assert_eq!(harness.status(waiting[2]), Status::Ready);
    assert_eq!(harness.fakes.store.slots(&user()), QUOTA);
}

#[test]
fn a_slot_is_free_again_after_any_end_of_its_session() {
    let mut harness = Harness::new();
    for _ in 0..2 * QUOTA {
        let id = harness.start(&json!({"ttlSeconds": 60}));
        harness.fakes.queue.take_all();
        // All messages are lost; the sweep alone starts and ends the session.
        harness.advance(Duration::from_mins(4));
        assert_eq!(harness.status(id), Status::Stopped);
    }
    harness.assert_everything_ended();
}
