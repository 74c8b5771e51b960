use std::time::Duration;

use domain::message::Message;
use serde_json::json;
use testkit::session_id;

use super::*;

fn path(tail: &str) -> String {
    format!("/v1/sessions/{}{tail}", session_id("s"))
}

fn ids(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().unwrap().iter();
    data.map(|one| one["sessionId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn sessions_are_listed_page_by_page() {
    let api = Api::new(
        Fakes::new()
            .with_queued_session("a")
            .with_ready_session("b")
            .with_ended_session("c")
            .with_ready_session("d"),
    );
    let mut seen = Vec::new();
    let mut query = "?limit=3".to_owned();
    for _ in 0..2 {
        let list = api.get(&format!("/v1/sessions{query}")).await.expect(200);
        seen.extend(ids(&list).into_iter().map(str::to_owned));
        query = format!("?limit=3&cursor={}", list["nextCursor"].as_str().unwrap_or_default());
    }
    assert_eq!(query, "?limit=3&cursor=");
    let newest_first = ["d", "c", "b", "a"].map(|name| session_id(name).to_string());
    assert_eq!(seen, newest_first);
}

#[tokio::test]
async fn an_empty_parameter_counts_as_absent() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let list = api.get("/v1/sessions?status=&limit=&cursor=").await.expect(200);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn sessions_are_listed_by_status_and_by_owner() {
    let api = Api::new(Fakes::new().with_queued_session("a").with_ready_session("b"));
    let ready = api.get("/v1/sessions?status=ready").await.expect(200);
    assert_eq!(ids(&ready), [session_id("b").to_string()]);
    let failed = api.get("/v1/sessions?status=failed").await.expect(200);
    assert_eq!(failed, json!({"data": [], "nextCursor": null}));
    let request = by(&bob(), Request::get("/v1/sessions"));
    let of_bob = api.send(&request, Body::empty()).await.expect(200);
    assert_eq!(ids(&of_bob), [""; 0]);
}

#[tokio::test]
async fn wrong_parameters_and_foreign_cursors_are_refused() {
    let api = Api::new(Fakes::new().with_ready_session("s").with_ready_session("t"));
    let list = api.get("/v1/sessions?limit=1").await.expect(200);
    let cursor = list["nextCursor"].as_str().unwrap();
    for query in [
        "status=done".to_owned(),
        "limit=0".to_owned(),
        "limit=101".to_owned(),
        "cursor=abc".to_owned(),
        format!("cursor={cursor}x"),
        format!("status=ready&cursor={cursor}"),
        "order=asc".to_owned(),
    ] {
        let answer = api.get(&format!("/v1/sessions?{query}")).await;
        answer.problem(400, "invalid_request");
    }
    api.get(&path(&format!("/jobs?cursor={cursor}"))).await.problem(400, "invalid_request");
    let other = by(&bob(), Request::get(format!("/v1/sessions?cursor={cursor}")));
    api.send(&other, Body::empty()).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn another_users_session_does_not_exist() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    for tail in ["", "/jobs", "/events"] {
        let request = by(&bob(), Request::get(path(tail)));
        api.send(&request, Body::empty()).await.problem(404, "not_found");
        api.get(&format!("/v1/sessions/sh_1{tail}")).await.problem(404, "not_found");
    }
    let request = Request::post(path("/extend")).header("content-type", "application/json");
    let extend = json!({"ttlSecondsFromNow": 1}).to_string();
    api.send(&by(&bob(), request), extend).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_timeline_is_read_in_order() {
    let api = Api::new(Fakes::new().with_ended_session("s"));
    let all = api.get(&path("/events")).await.expect(200);
    let seqs: Vec<_> = all["data"].as_array().unwrap().iter().map(|e| e["seq"].as_u64()).collect();
    let count = u64::from(api.fakes.session("s").common().entries);
    assert_eq!(seqs, (1..=count).map(Some).collect::<Vec<_>>());
    assert_eq!(all["data"][0]["type"], "accepted");
    assert_eq!(all["nextAfter"], count);
    let some = api.get(&path("/events?after=2&limit=1")).await.expect(200);
    assert_eq!((&some["data"][0]["seq"], &some["nextAfter"]), (&json!(3), &json!(3)));
    let none = api.get(&path("/events?after=4000000000")).await.expect(200);
    assert_eq!(none, json!({"data": [], "nextAfter": 4_000_000_000_u64}));
}

#[tokio::test]
async fn a_sessions_jobs_are_listed_without_their_output() {
    let api = Api::new(
        Fakes::new()
            .with_ready_session("s")
            .with_queued_job("s", "i", "1")
            .with_queued_job("s", "j", "2"),
    );
    let list = api.get(&path("/jobs?limit=2")).await.expect(200);
    let types: Vec<_> = list["data"].as_array().unwrap().iter().map(|job| &job["type"]).collect();
    assert_eq!(types, ["start", "execute"]);
    assert!(list["data"][1]["stdout"]["text"].is_null());
    let next = list["nextCursor"].as_str().unwrap();
    let rest = api.get(&path(&format!("/jobs?cursor={next}"))).await.expect(200);
    assert_eq!(rest["data"].as_array().unwrap().len(), 1);
    assert!(rest["nextCursor"].is_null());
}

#[tokio::test]
async fn a_deadline_is_extended() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let wanted = api.now() + Duration::from_secs(7200);
    let body = api.post(&path("/extend"), json!({"ttlSecondsFromNow": 7200})).await.expect(200);
    assert_eq!(body["expiresAt"], json!(wanted));
    assert_eq!(api.fakes.session("s").common().expires_at, wanted);
    let further = wanted + Duration::from_secs(1);
    let body = api.post(&path("/extend"), json!({"expiresAt": further})).await.expect(200);
    assert_eq!(body["expiresAt"], json!(further));
    let told = Message::SetDeadline { session: session_id("s") };
    let reason = "the task is told, and the old timer finds the new deadline by itself";
    assert_eq!(api.messages(), [told.clone(), told], "{reason}");
}

#[tokio::test]
async fn a_deadline_is_shortened_only_if_the_request_allows_it() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let old = api.fakes.session("s").common().expires_at;
    let body = api.post(&path("/extend"), json!({"ttlSecondsFromNow": 60})).await.expect(200);
    assert_eq!(body["expiresAt"], json!(old));
    let leave = json!({"ttlSecondsFromNow": 60, "allowShorten": true});
    let body = api.post(&path("/extend"), leave).await.expect(200);
    assert_eq!(body["expiresAt"], json!(api.now() + Duration::from_secs(60)));
    let session = session_id("s");
    let messages = [Message::SetDeadline { session }, Message::NotifySession { session }];
    assert_eq!(api.messages(), messages);
}

#[tokio::test]
async fn an_extension_ends_at_the_longest_lifetime() {
    let api = Api::new(Fakes::new().with_ready_session("s"))
        .with_policy(|policy| policy.max_lifetime = Some(Duration::from_hours(2)));
    api.fakes.clock.advance(Duration::from_mins(30));
    let extend = path("/extend");
    api.post(&extend, json!({"ttlSecondsFromNow": 5400})).await.expect(200);
    let answer = api.post(&extend, json!({"ttlSecondsFromNow": 5401})).await;
    let body = answer.problem(400, "invalid_request");
    assert!(body["errors"][0]["detail"].as_str().unwrap().contains("7200"), "{body}");
}

#[tokio::test]
async fn only_a_ready_session_is_extended() {
    let body = json!({"ttlSecondsFromNow": 60});
    for fakes in [
        Fakes::new().with_waiting_session("s"),
        Fakes::new().with_queued_session("s"),
        Fakes::new().with_starting_session("s"),
    ] {
        let answer = Api::new(fakes).post(&path("/extend"), body.clone()).await;
        answer.problem(409, "not_ready");
    }
    for fakes in [Fakes::new().with_stopping_session("s"), Fakes::new().with_ended_session("s")] {
        let answer = Api::new(fakes).post(&path("/extend"), body.clone()).await;
        answer.problem(410, "session_ended");
    }
}

#[tokio::test]
async fn an_extension_needs_exactly_one_deadline_within_bounds() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let far = api.now() + Duration::from_secs(28_801);
    let near = api.now() + Duration::from_secs(60);
    for (body, at) in [
        (json!({}), vec![""]),
        (json!({"ttlSecondsFromNow": null}), vec![""]),
        (json!({"ttlSecondsFromNow": null, "expiresAt": null}), vec![""]),
        (json!({"ttlSecondsFromNow": 60, "expiresAt": near}), vec![""]),
        (json!({"ttlSecondsFromNow": 0}), vec!["/ttlSecondsFromNow"]),
        (json!({"ttlSecondsFromNow": 28_801}), vec!["/ttlSecondsFromNow"]),
        (json!({"expiresAt": far}), vec!["/expiresAt"]),
        (json!({"expiresAt": api.now()}), vec!["/expiresAt"]),
        (json!({"expiresAt": "tomorrow"}), vec!["/expiresAt"]),
        (json!({"expiresAt": near, "allowShorten": 1}), vec!["/allowShorten"]),
    ] {
        api.post(&path("/extend"), body).await.refused_at(&at);
    }
    let one = json!({"ttlSecondsFromNow": 7200, "expiresAt": null});
    api.post(&path("/extend"), one).await.expect(200);
}
