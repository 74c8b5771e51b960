use tempfile::{TempDir, tempdir};

use super::*;
use crate::clock::{MonotonicIds, SystemClock};

fn tokens(db: Database) -> Tokens {
    Tokens::new(db, Arc::new(SystemClock), Arc::new(MonotonicIds::default()))
}

fn open() -> (TempDir, Tokens) {
    let dir = tempdir().unwrap();
    let db = Database::open(dir.path()).unwrap();
    (dir, tokens(db))
}

#[tokio::test]
async fn a_token_authenticates_its_user_and_no_other_text_does() {
    let (_dir, tokens) = open();
    let (ann, bob) = (UserId::new("ann"), UserId::new("bob"));
    let of_ann = tokens.create(&ann).await.unwrap().into_inner();
    let of_bob = tokens.create(&bob).await.unwrap().into_inner();
    assert_eq!(tokens.user_of(&of_ann).unwrap(), Some(ann.clone()));
    assert_eq!(tokens.user_of(&of_ann).unwrap(), Some(ann));
    assert_eq!(tokens.user_of(&of_bob).unwrap(), Some(bob));
    for unknown in ["", "eph_", &of_ann[..of_ann.len() - 1], &of_ann.to_uppercase()] {
        assert_eq!(tokens.user_of(unknown).unwrap(), None);
    }
}

#[tokio::test]
async fn a_revoked_token_is_rejected_at_once() {
    let (_dir, tokens) = open();
    let token = tokens.create(&UserId::new("ann")).await.unwrap().into_inner();
    tokens.user_of(&token).unwrap();
    let listed = tokens.list().unwrap();
    assert!(tokens.revoke(&listed[0].id).await.unwrap());
    assert_eq!(tokens.user_of(&token).unwrap(), None);
    assert!(!tokens.revoke(&listed[0].id).await.unwrap());
    assert!(!tokens.revoke("no id").await.unwrap());
    assert_eq!(tokens.list().unwrap(), []);
}

#[tokio::test]
async fn a_token_created_by_another_process_is_accepted() {
    let (dir, server) = open();
    assert_eq!(server.user_of("eph_unknown").unwrap(), None);
    let other = tokens(Database::open_shared(dir.path()).unwrap());
    let token = other.create(&UserId::new("ann")).await.unwrap().into_inner();
    assert_eq!(server.user_of(&token).unwrap(), Some(UserId::new("ann")));
}

#[tokio::test]
async fn the_files_hold_no_token() {
    let (dir, tokens) = open();
    let token = tokens.create(&UserId::new("ann")).await.unwrap().into_inner();
    drop(tokens);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let secret = token.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}
