use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    middleware,
    response::Response,
    routing::get,
};
use domain::{Secret, UserId};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{CODE_LIFETIME, Codes, mount};
use crate::{
    clock::{MonotonicIds, SystemClock},
    database::Database,
    server::access,
    tokens::Tokens,
};

fn tokens(dir: &Path) -> Tokens {
    let ids = Arc::new(MonotonicIds::default());
    Tokens::new(Database::open(dir).unwrap(), Arc::new(SystemClock), ids)
}

fn codes(tokens: &Tokens) -> Codes {
    Codes::new(tokens.clone(), Arc::new(MonotonicIds::default()))
}

/// The console on an API of one route, with the authentication of the server.
fn router(tokens: &Tokens) -> Router {
    let api = Router::new().route("/healthz", get(async || "ok"));
    mount(api, codes(tokens))
        .layer(middleware::from_fn_with_state(tokens.clone(), access::authenticate))
}

async fn send(router: &Router, request: Request<Body>) -> (Response, String) {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (Response::from_parts(parts, Body::empty()), text)
}

fn read(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn sign_in(code: &str) -> Request<Body> {
    let request = Request::post("/console/sign-in").header("content-type", "application/json");
    request.body(Body::from(json!({"code": code}).to_string())).unwrap()
}

#[tokio::test]
async fn the_page_and_its_files_are_served_with_strict_headers() {
    let dir = tempfile::tempdir().unwrap();
    let router = router(&tokens(dir.path()));
    let (page, html) = send(&router, read("/")).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["cache-control"], "no-cache");
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let assets: Vec<&str> = html.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert!(assets.len() >= 3, "script, style and icon: {html}");
    for path in assets.iter().chain(&["/"]) {
        let (file, _) = send(&router, read(path)).await;
        assert_eq!(file.status(), StatusCode::OK, "{path}");
        let policy = file.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(file.headers()["x-content-type-options"], "nosniff");
        assert_eq!(file.headers()["referrer-policy"], "no-referrer");
        if *path != "/" {
            let cache = file.headers()["cache-control"].to_str().unwrap();
            assert!(cache.ends_with("immutable"), "{path}: {cache}");
        }
    }
}

#[tokio::test]
async fn the_page_is_told_that_users_sign_in_by_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let (config, body) = send(&router(&tokens(dir.path())), read("/config.json")).await;
    assert_eq!(config.headers()["content-type"], "application/json");
    assert_eq!(config.headers()["cache-control"], "no-cache");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({"signIn": "token"}));
}

#[tokio::test]
async fn the_page_has_no_script_or_style_of_its_own_and_names_no_other_origin() {
    let dir = tempfile::tempdir().unwrap();
    let (_, html) = send(&router(&tokens(dir.path())), read("/")).await;
    for denied in ["<style", "style=", "onload=", "javascript:", "http:", "https:", "\"//"] {
        assert!(!html.contains(denied), "{denied} in {html}");
    }
    assert_eq!(html.matches("<script").count(), html.matches("<script type=\"module\"").count());
}

#[tokio::test]
async fn other_paths_stay_those_of_the_api() {
    let dir = tempfile::tempdir().unwrap();
    let router = router(&tokens(dir.path()));
    assert_eq!(send(&router, read("/healthz")).await.1, "ok");
    for path in ["/index.html", "/assets/", "/assets/none.js", "/assets/../Cargo.toml", "/sessions"]
    {
        assert_eq!(send(&router, read(path)).await.0.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_code_is_exchanged_once_for_the_token_that_created_it() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(dir.path());
    let router = router(&tokens);
    let token = tokens.create(&UserId::new("ann")).await.unwrap().into_inner();
    let create = Request::post("/console/codes").header("authorization", format!("Bearer {token}"));
    let (created, body) = send(&router, create.body(Body::empty()).unwrap()).await;
    assert_eq!(created.status(), StatusCode::CREATED, "{body}");
    assert_eq!(created.headers()["cache-control"], "no-store");
    let created: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(created["expiresInSeconds"], 600);
    let code = created["code"].as_str().unwrap();
    assert!(!body.contains(&token));

    let (signed_in, body) = send(&router, sign_in(code)).await;
    assert_eq!(signed_in.status(), StatusCode::OK);
    assert_eq!(signed_in.headers()["cache-control"], "no-store");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({"token": token}));
    let (again, body) = send(&router, sign_in(code)).await;
    assert_eq!(again.status(), StatusCode::FORBIDDEN);
    assert!(body.contains("used before"), "{body}");
}

#[tokio::test]
async fn a_code_needs_a_valid_token() {
    let dir = tempfile::tempdir().unwrap();
    let router = router(&tokens(dir.path()));
    for header in ["", "Bearer eph_unknown", "Basic x"] {
        let request = Request::post("/console/codes").header("authorization", header);
        let (refused, _) = send(&router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{header}");
    }
}

#[tokio::test]
async fn a_sign_in_that_is_not_json_with_a_code_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let router = router(&tokens(dir.path()));
    let long = json!({"code": "x".repeat(2000)}).to_string();
    let table = [
        ("application/json", "{}"),
        ("application/json", "{\"code\": 1}"),
        ("application/json", "{\"code\": \"x\", \"more\": 1}"),
        ("application/json", "code"),
        // A page of another origin can send only these kinds without asking first.
        ("text/plain", "{\"code\": \"x\"}"),
        ("application/x-www-form-urlencoded", "code=x"),
        ("application/json", &long),
    ];
    for (kind, body) in table {
        let request = Request::post("/console/sign-in").header("content-type", kind);
        let (refused, text) =
            send(&router, request.body(Body::from(body.to_owned())).unwrap()).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{kind}: {body}");
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        assert!(text.contains("as JSON"), "{text}");
    }
}

#[tokio::test]
async fn a_request_for_a_page_of_another_origin_is_refused_and_uses_up_no_code() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(dir.path());
    let codes = codes(&tokens);
    let router = mount(Router::new(), codes.clone())
        .layer(middleware::from_fn_with_state(tokens.clone(), access::authenticate));
    let token = tokens.create(&UserId::new("ann")).await.unwrap();
    let code = codes.create(token.clone(), Instant::now());
    let host = ("host", "127.0.0.1:8787");
    let refused = [
        vec![host, ("sec-fetch-site", "cross-site")],
        // Another port of this machine is the same site to a browser.
        vec![host, ("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:8787")],
        vec![host, ("sec-fetch-site", "none")],
        vec![host, ("origin", "http://127.0.0.1:9999")],
        vec![host, ("origin", "https://attacker.example")],
        vec![host, ("origin", "null")],
        vec![("origin", "http://127.0.0.1:8787")],
    ];
    for headers in refused {
        for path in ["/console/sign-in", "/console/codes"] {
            let mut request = Request::post(path).header("content-type", "application/json");
            request = request.header("authorization", format!("Bearer {}", token.expose()));
            request = headers
                .iter()
                .fold(request, |request, (name, value)| request.header(*name, *value));
            let body = json!({"code": code.expose()}).to_string();
            let (response, text) = send(&router, request.body(Body::from(body)).unwrap()).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path} {headers:?}: {text}");
        }
    }
    let mut own = sign_in(code.expose());
    own.headers_mut().insert("host", "127.0.0.1:8787".parse().unwrap());
    own.headers_mut().insert("origin", "http://127.0.0.1:8787".parse().unwrap());
    own.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
    assert_eq!(send(&router, own).await.0.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_code_expires_after_ten_minutes() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(dir.path());
    let codes = codes(&tokens);
    let token = tokens.create(&UserId::new("ann")).await.unwrap();
    let now = Instant::now();
    let code = codes.create(token.clone(), now);
    assert_eq!(codes.redeem(code.expose(), now + CODE_LIFETIME).unwrap(), None);
    let code = codes.create(token.clone(), now);
    let last = now + CODE_LIFETIME - Duration::from_millis(1);
    assert_eq!(codes.redeem(code.expose(), last).unwrap(), Some((UserId::new("ann"), token)));
}

#[tokio::test]
async fn a_new_code_replaces_the_earlier_one_of_the_same_token_only() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(dir.path());
    let codes = codes(&tokens);
    let ann = tokens.create(&UserId::new("ann")).await.unwrap();
    let bob = tokens.create(&UserId::new("bob")).await.unwrap();
    let now = Instant::now();
    let bobs = codes.create(bob.clone(), now);
    let first = codes.create(ann.clone(), now);
    let second = codes.create(ann.clone(), now);
    assert_eq!(codes.redeem(first.expose(), now).unwrap(), None);
    assert_eq!(codes.redeem(second.expose(), now).unwrap(), Some((UserId::new("ann"), ann)));
    assert_eq!(codes.redeem(bobs.expose(), now).unwrap(), Some((UserId::new("bob"), bob)));
}

#[tokio::test]
async fn a_code_of_a_revoked_token_is_worth_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(dir.path());
    let codes = codes(&tokens);
    let now = Instant::now();
    let code = codes.create(tokens.create(&UserId::new("ann")).await.unwrap(), now);
    tokens.revoke(&tokens.list().unwrap()[0].id).await.unwrap();
    assert_eq!(codes.redeem(code.expose(), now).unwrap(), None);
}

#[test]
fn codes_are_no_part_of_a_debug_text() {
    let dir = tempfile::tempdir().unwrap();
    let codes = codes(&tokens(dir.path()));
    let code = codes.create(Secret::new("eph_secret".to_owned()), Instant::now());
    let text = format!("{codes:?} {code:?}");
    assert!(!text.contains("eph_secret") && !text.contains(code.expose()), "{text}");
}
