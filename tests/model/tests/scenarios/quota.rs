//! How many sessions there are at once.

use std::time::Duration;

use domain::session::Status;
use serde_json::json;

use crate::stage::{QUOTA, Stage, user};

#[test]
fn a_start_above_the_quota_is_refused_and_leaves_nothing() {
    let mut stage = Stage::new();
    for _ in 0..QUOTA {
        stage.start(&json!({}));
    }
    let (status, body) = stage.post("/v1/shell/start", &json!({}));
    assert_eq!(status, 429, "{body}");
    assert_eq!(stage.fakes.store.all_sessions().len(), QUOTA as usize);
    let (_, quota) = stage.get("/v1/quota");
    assert_eq!((&quota["active"], &quota["limit"]), (&json!(QUOTA), &json!(QUOTA)));
}

#[test]
fn who_waits_for_a_slot_gets_it_in_order() {
    let mut stage = Stage::new();
    let running: Vec<_> = (0..QUOTA).map(|_| stage.ready(&json!({}))).collect();
    let waiting = [(); 3].map(|()| stage.start(&json!({"admission": "queue"})));
    let position = |stage: &Stage, at: usize| {
        stage.get(&format!("/v1/sessions/{}", waiting[at])).1["position"].clone()
    };
    assert_eq!([0, 1, 2].map(|at| position(&stage, at)), [json!(1), json!(2), json!(3)]);

    stage.stop(running[0]);
    stage.settle();
    assert_eq!(stage.status(waiting[0]), Status::Ready);
    assert_eq!([1, 2].map(|at| position(&stage, at)), [json!(1), json!(2)]);

    // The first in line leaves it: the next one moves up.
    stage.stop(waiting[1]);
    stage.stop(running[1]);
    stage.settle();
    assert_eq!(stage.status(waiting[1]), Status::Stopped);
    assert_eq!(stage.status(waiting[2]), Status::Ready);
    assert_eq!(stage.fakes.store.slots(&user()), QUOTA);
}

#[test]
fn a_slot_is_free_again_whatever_happens_to_its_session() {
    let mut stage = Stage::new();
    for _ in 0..2 * QUOTA {
        let id = stage.start(&json!({"ttlSeconds": 60}));
        stage.fakes.queue.take_all();
        // Every message is lost; the sweep alone brings it up, and its end.
        stage.pass(Duration::from_mins(4));
        assert_eq!(stage.status(id), Status::Stopped);
    }
    stage.assert_all_over();
}
