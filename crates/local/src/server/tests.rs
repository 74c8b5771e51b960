use std::{net::SocketAddr, os::unix::fs::PermissionsExt, path::Path};

use super::{Server, StartError, files};
use crate::{
    clock::{MonotonicIds, SystemClock},
    config::{Config, Sandbox},
    database::Database,
    tokens::Tokens,
};

fn config(dir: &Path, listen: &str) -> Config {
    let sandbox = Sandbox { exe: "/bin/false".into(), runtime: None };
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
