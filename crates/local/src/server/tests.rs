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
async fn listening_beyond_loopback_in_the_clear_must_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = Server::start(config(dir.path(), listen)).await.unwrap_err();
        assert!(matches!(refused, StartError::InsecureListen(_)), "{listen}: {refused}");
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0, "nothing was touched");
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
async fn the_token_is_for_its_owner_only_and_stays_until_it_is_worthless() {
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
async fn a_token_says_who_calls_and_anything_else_says_nothing() {
    use axum::{Extension, Router, body::Body, extract::Request, middleware, routing::get};
    use handlers::http::Caller;
    use tower::ServiceExt;

    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(dir.path());
    let token = tokens.create(&domain::UserId::new("ann")).await.unwrap().into_inner();
    let who = async |caller: Option<Extension<Caller>>| match caller {
        Some(Extension(Caller(user))) => user.as_str().to_owned(),
        None => "nobody".to_owned(),
    };
    let layer = middleware::from_fn_with_state(tokens, super::access::authenticate);
    let router: Router = Router::new().route("/", get(who)).layer(layer);
    let table = [
        (format!("Bearer {token}"), "ann"),
        (format!("bearer  {token} "), "ann"),
        (format!("Basic {token}"), "nobody"),
        (format!("Bearer {token}x"), "nobody"),
        ("Bearer".to_owned(), "nobody"),
        (token, "nobody"),
    ];
    for (header, expected) in table {
        let request = Request::get("/").header("authorization", &header).body(Body::empty());
        let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(body, expected, "{header}");
    }
}

#[tokio::test]
async fn tokens_that_can_not_be_looked_up_leave_the_caller_open() {
    use axum::{Extension, Router, body::Body, extract::Request, middleware, routing::get};
    use domain::ports::BackendError;
    use handlers::http::{Caller, Unidentifiable};
    use tower::ServiceExt;

    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(dir.path()).unwrap();
    let ids = std::sync::Arc::new(MonotonicIds::default());
    let tokens = Tokens::new(db.clone(), std::sync::Arc::new(SystemClock), ids);
    let lose = |db: &rusqlite::Connection| {
        db.execute_batch("DROP TABLE tokens")
            .map_err(|error| BackendError::new("losing a table", error))
    };
    db.write(lose, || ()).await.unwrap();
    let who = async |caller: Option<Extension<Caller>>, open: Option<Extension<Unidentifiable>>| {
        format!("{} {}", caller.is_some(), open.is_some())
    };
    let layer = middleware::from_fn_with_state(tokens, super::access::authenticate);
    let router: Router = Router::new().route("/", get(who)).layer(layer);
    let request = Request::get("/").header("authorization", "Bearer eph_x").body(Body::empty());
    let answer = router.oneshot(request.unwrap()).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
    assert_eq!(body, "false true");
}
