use tempfile::tempdir;
use testkit::session_id;

use super::*;

fn execution(name: &str, json: &str) -> Execution {
    Execution { session: session_id(name), wake_at: None, json: json.to_owned() }
}

#[tokio::test]
async fn what_was_put_last_is_found() {
    let dir = tempdir().unwrap();
    let executions = Executions::new(Database::open(dir.path()).unwrap());
    let woken = Execution { wake_at: Some(Timestamp::from_millis(5)), ..execution("a", "{}") };
    executions.put(execution("a", r#"{"old":1}"#));
    executions.put(woken.clone());
    executions.put(execution("b", "{}"));
    assert_eq!(executions.get(session_id("a")).await.unwrap(), Some(woken.clone()));
    assert_eq!(executions.all_open().await.unwrap(), [woken, execution("b", "{}")]);
}

#[tokio::test]
async fn what_was_deleted_is_gone() {
    let dir = tempdir().unwrap();
    let executions = Executions::new(Database::open(dir.path()).unwrap());
    executions.put(execution("a", "{}"));
    executions.delete(session_id("a"));
    assert_eq!(executions.get(session_id("a")).await.unwrap(), None);
    assert_eq!(executions.all_open().await.unwrap(), []);
}
