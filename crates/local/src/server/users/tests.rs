use axum::{
    Router,
    body::to_bytes,
    http::{Method, Request, StatusCode},
    middleware,
    routing::any,
};
use futures::FutureExt;
use tokio::sync::Notify;
use tower::ServiceExt;

use super::*;

/// A router whose requests are handled when they are released; it answers 429 to refused ones.
fn router(limits: RequestLimits, release: &Arc<Notify>) -> Router {
    let release = Arc::clone(release);
    let handle = async move |request: Request<Body>| {
        if request.extensions().get::<TooManyRequests>().is_some() {
            return StatusCode::TOO_MANY_REQUESTS;
        }
        release.notified().await;
        StatusCode::OK
    };
    let users = UserRequests::new(limits);
    Router::new().fallback(any(handle)).layer(middleware::from_fn_with_state(users, limit))
}

fn request(user: &str, path: &str) -> Request<Body> {
    Request::get(path).extension(Caller(UserId::new(user))).body(Body::empty()).unwrap()
}

const LIMITS: RequestLimits = RequestLimits { at_once: 2, reads: 2, queued: 4, waiting: 3 };

#[tokio::test]
async fn requests_of_one_user_are_handled_in_turn_and_those_of_others_beside_them() {
    let release = Arc::new(Notify::new());
    let router = router(LIMITS, &release);
    let send = |user: &str| Box::pin(router.clone().oneshot(request(user, "/v1/sessions")));
    let mut open: Vec<_> = (0..4).map(|_| send("mallory")).collect();
    for one in &mut open {
        assert!(one.now_or_never().is_none());
    }
    let fifth = send("mallory").await.unwrap();
    assert_eq!(fifth.status(), StatusCode::TOO_MANY_REQUESTS);

    // Two of them are handled; the others wait for their turns.
    let mut other = send("alice");
    assert!((&mut other).now_or_never().is_none());
    release.notify_waiters();
    assert_eq!(other.await.unwrap().status(), StatusCode::OK);
    let waiting = open.split_off(2);
    for handled in open {
        assert_eq!(handled.await.unwrap().status(), StatusCode::OK);
    }
    let mut waiting: Vec<_> = waiting;
    for one in &mut waiting {
        assert!(one.now_or_never().is_none());
    }
    release.notify_waiters();
    for handled in waiting {
        assert_eq!(handled.await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn reads_of_one_user_leave_room_for_other_requests() {
    let release = Arc::new(Notify::new());
    let router = router(RequestLimits { at_once: 2, reads: 1, queued: 9, waiting: 3 }, &release);
    let send = |method: Method| {
        let mut request = request("ann", "/v1/sessions");
        *request.method_mut() = method;
        Box::pin(router.clone().oneshot(request))
    };
    let mut open = [Method::GET, Method::GET, Method::GET, Method::POST].map(send);
    for one in &mut open {
        assert!(one.now_or_never().is_none());
    }
    release.notify_waiters();
    let handled = open.each_mut().map(|one| one.now_or_never().is_some());
    assert_eq!(handled, [true, false, false, true]);
}

#[tokio::test]
async fn long_polls_and_streams_have_places_of_their_own_until_their_bodies_end() {
    let release = Arc::new(Notify::new());
    let router = router(LIMITS, &release);
    let send = |path: &str| Box::pin(router.clone().oneshot(request("ann", path)));
    let paths =
        ["/v1/jobs/j?waitSeconds=25", "/v1/jobs/j/stream", "/v1/jobs/j?a=b&wait%53econds=1"];
    let mut open: Vec<_> = paths.map(send).into();
    for one in &mut open {
        assert!(one.now_or_never().is_none());
    }
    for path in paths {
        assert_eq!(send(path).await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    }
    let mut short = send("/v1/jobs/j?waitSeconds=0");
    assert!((&mut short).now_or_never().is_none());
    release.notify_waiters();
    assert_eq!(short.await.unwrap().status(), StatusCode::OK);
    let mut responses = Vec::new();
    for one in open {
        responses.push(one.await.unwrap());
    }
    // The bodies were not read yet.
    assert_eq!(send(paths[0]).await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    for response in responses {
        to_bytes(response.into_body(), 9).await.unwrap();
    }
    assert!(send(paths[0]).now_or_never().is_none());
}

#[test]
fn users_without_requests_are_forgotten() {
    let users = UserRequests::new(LIMITS);
    let busy = users.of(&UserId::new("busy"));
    let waiting = users.of(&UserId::new("waiting"));
    let wait = Arc::clone(&waiting.waits).try_acquire_owned().unwrap();
    drop(waiting);
    for number in 0..3 * MAX_IDLE_USERS {
        users.of(&UserId::new(number.to_string()));
    }
    let known = users.users.lock();
    assert!(known.len() <= MAX_IDLE_USERS + 1, "{}", known.len());
    assert!(["busy", "waiting"].iter().all(|user| known.contains_key(&UserId::new(*user))));
    drop((busy, wait));
}
