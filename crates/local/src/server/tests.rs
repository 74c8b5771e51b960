use std::{net::SocketAddr, os::unix::fs::PermissionsExt, path::Path};

use super::{Server, StartError, files};
use crate::{
    clock::{MonotonicIds, SystemClock},
    config::{Config, Sandbox},
    database::Database,
    tokens::Tokens,
};

fn config(dir: &Path, listen: &str) -> Config {
    let sandbox = Sandbox::new("/bin/false".into());
    let mut config = Config::new(dir.to_owned(), sandbox);
    config.listen = listen.parse::<SocketAddr>().unwrap();
    config
}

fn tokens(dir: &Path) -> Tokens {
    let ids = std::sync::Arc::new(MonotonicIds::default());
    Tokens::new(Database::open(dir).unwrap(), std::sync::Arc::new(SystemClock), ids)
}

#[tokio::test]
async fn listening_beyond_loopback_without_tls_needs_a_setting() {
    let dir = tempfile::tempdir().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = Server::start(config(dir.path(), listen)).await.unwrap_err();
        assert!(matches!(refused, StartError::InsecureListen(_)), "{listen}: {refused}");
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0, "nothing was created");
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _other = Database::open(dir.path()).unwrap();
    let refused = Server::start(config(dir.path(), "127.0.0.1:0")).await.unwrap_err();
    assert!(matches!(refused, StartError::Database(_)), "{refused}");
}

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = other.local_addr().unwrap().to_string();
    let refused = Server::start(config(dir.path(), &listen)).await.unwrap_err();
    assert!(matches!(refused, StartError::Listen(..)), "{refused}");
}

#[tokio::test]
async fn the_token_file_is_private_and_stays_until_its_token_is_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(dir.path());
    let path = files::token_path(dir.path());
    files::token(dir.path(), &tokens).await.unwrap();
    let first = std::fs::read_to_string(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(tokens.user_of(first.trim()).unwrap().unwrap().as_str(), "local");
    files::token(dir.path(), &tokens).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
    tokens.revoke(&tokens.list().unwrap()[0].id).await.unwrap();
    files::token(dir.path(), &tokens).await.unwrap();
    assert_ne!(std::fs::read_to_string(&path).unwrap(), first);
}

#[tokio::test]
async fn only_a_valid_token_identifies_the_caller() {
    use axum::{Extension, Router, body::Body, extract::Request, middleware, routing::get};
    use handlers::http::Caller;
    use tower::ServiceExt;

    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(dir.path());
    let token = tokens.create(&domain::UserId::new("ann")).await.unwrap().into_inner();
    let caller_name = async |caller: Option<Extension<Caller>>| match caller {
        Some(Extension(Caller(user))) => user.as_str().to_owned(),
        None => "none".to_owned(),
    };
    let layer = middleware::from_fn_with_state(tokens, super::access::authenticate);
    let router: Router = Router::new().route("/", get(caller_name)).layer(layer);
    let table = [
        (format!("Bearer {token}"), "ann"),
        (format!("bearer  {token} "), "ann"),
        (format!("Basic {token}"), "none"),
        (format!("Bearer {token}x"), "none"),
        ("Bearer".to_owned(), "none"),
        (token, "none"),
    ];
    for (header, expected) in table {
        let request = Request::get("/").header("authorization", &header).body(Body::empty());
        let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(body, expected, "{header}");
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked() {
    use axum::{Router, body::Body, extract::Request, middleware, routing::get};
    use futures::{StreamExt, stream};
    use tower::ServiceExt;

    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(dir.path());
    let token = tokens.create(&domain::UserId::new("ann")).await.unwrap().into_inner();
    let events = async |request: Request| {
        let kind = request.headers().get("accept").unwrap().clone();
        let events = stream::repeat(Ok::<_, std::convert::Infallible>(":\n\n"));
        ([("content-type", kind)], Body::from_stream(events))
    };
    let layer = middleware::from_fn_with_state(tokens.clone(), super::access::authenticate);
    let router: Router = Router::new().route("/", get(events)).layer(layer);
    let body = async |kind: &str| {
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let request = request.header("accept", kind).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().into_body().into_data_stream()
    };
    let mut stream = body("text/event-stream").await;
    let mut download = body("text/plain").await;
    assert!(stream.next().await.is_some());
    tokens.revoke(&tokens.list().unwrap()[0].id).await.unwrap();
    assert!(stream.next().await.is_none());
    assert!(download.next().await.is_some());
}

#[tokio::test]
async fn a_failed_token_lookup_marks_the_request_as_unidentifiable() {
    use axum::{Extension, Router, body::Body, extract::Request, middleware, routing::get};
    use domain::ports::BackendError;
    use handlers::http::{Caller, Unidentifiable};
    use tower::ServiceExt;

    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(dir.path()).unwrap();
    let ids = std::sync::Arc::new(MonotonicIds::default());
    let tokens = Tokens::new(db.clone(), std::sync::Arc::new(SystemClock), ids);
    let drop_table = |db: &rusqlite::Connection| {
        db.execute_batch("DROP TABLE tokens")
            .map_err(|error| BackendError::new("dropping a table", error))
    };
    db.write(drop_table, || ()).await.unwrap();
    let caller_name =
        async |caller: Option<Extension<Caller>>,
               unidentifiable: Option<Extension<Unidentifiable>>| {
            format!("{} {}", caller.is_some(), unidentifiable.is_some())
        };
    let layer = middleware::from_fn_with_state(tokens, super::access::authenticate);
    let router: Router = Router::new().route("/", get(caller_name)).layer(layer);
    let request = Request::get("/").header("authorization", "Bearer eph_x").body(Body::empty());
    let answer = router.oneshot(request.unwrap()).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
    assert_eq!(body, "false true");
}
