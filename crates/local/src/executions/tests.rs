use tempfile::tempdir;
use testkit::session_id;

use super::*;

fn execution(name: &str, json: &str) -> Execution {
    Execution { session: session_id(name), wake_at: None, json: json.to_owned() }
}

#[tokio::test]
async fn the_execution_stored_last_is_read() {
    let dir = tempdir().unwrap();
    let executions = Executions::new(Database::open(dir.path()).unwrap());
    let latest = Execution { wake_at: Some(Timestamp::from_millis(5)), ..execution("a", "{}") };
    executions.put(execution("a", r#"{"old":1}"#));
    executions.put(latest.clone());
    executions.put(execution("b", "{}"));
    assert_eq!(executions.get(session_id("a")).await.unwrap(), Some(latest.clone()));
    assert_eq!(executions.all_open().await.unwrap(), [latest, execution("b", "{}")]);
}

#[tokio::test]
async fn a_deleted_execution_is_not_read() {
    let dir = tempdir().unwrap();
    let executions = Executions::new(Database::open(dir.path()).unwrap());
    executions.put(execution("a", "{}"));
    executions.delete(session_id("a"));
    assert_eq!(executions.get(session_id("a")).await.unwrap(), None);
    assert_eq!(executions.all_open().await.unwrap(), []);
}
