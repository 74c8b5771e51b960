use std::{sync::Arc, time::Duration};

use domain::{
    TaskId, WarmId,
    ports::{Expect, Ids, Store, Write},
    session::{Session, Status},
    task::TaskStatus,
    warm::Warm,
};
use serde_json::json;
use testkit::{Fakes, kind, session_id};

use crate::{Env, Step, tests};

/// A deployment that keeps one warm task, whose runner has answered.
fn env_with_warm(fakes: &Fakes, task: &TaskId) -> (Env, WarmId) {
    let mut policy = tests::policy();
    policy.warm = vec![(kind(), 1)];
    let env = Env { policy: Arc::new(policy), ..tests::env(fakes) };
    let (id, now) = (WarmId::from_ulid(fakes.ids.ulid()), fakes.now());
    let later = now + Duration::from_hours(1);
    let warm = Warm::plan(id, kind(), now, later).answered(task.clone(), later);
    fakes.store.apply(&[Write::Warm(Box::new(warm.into()), Expect::New)]).unwrap();
    (env, id)
}

async fn provision(env: &Env) {
    Step::ProvisionTask.run(env, json!({"sessionId": session_id("s")})).await.unwrap();
}

#[tokio::test]
async fn a_session_with_files_gets_a_task_of_its_own() {
    let file = domain::file::NewFile { path: "a".into(), mode: None, base64: String::new() };
    let fakes = Fakes::new().with_spec(|spec| spec.files = domain::Secret::new(vec![file]));
    let fakes = fakes.with_queued_session("s");
    let task = TaskId::new("warm");
    let (env, id) = env_with_warm(&fakes, &task);
    fakes.compute.adopt(task.clone(), &id.to_string(), TaskStatus::Running);
    provision(&env).await;
    assert!(matches!(fakes.store.warm(id).await.unwrap().unwrap().value, Warm::Available(_)));
    assert_ne!(fakes.session("s").task(), Some(&task));
}

#[tokio::test]
async fn a_session_gets_a_warm_task_and_is_ready_at_once() {
    let fakes = Fakes::new().with_queued_session("s");
    let task = TaskId::new("warm");
    let (env, id) = env_with_warm(&fakes, &task);
    fakes.compute.adopt(task.clone(), &id.to_string(), TaskStatus::Running);
    provision(&env).await;
    assert_eq!(fakes.session("s").status(), Status::Ready);
    assert_eq!(fakes.session("s").task(), Some(&task));
    let warm = fakes.store.warm(id).await.unwrap().unwrap().value;
    assert!(matches!(warm, Warm::Claimed(claimed) if claimed.session() == session_id("s")));
}

#[tokio::test]
async fn a_warm_task_that_stopped_without_an_event_serves_no_session() {
    let fakes = Fakes::new().with_queued_session("s");
    let (env, id) = env_with_warm(&fakes, &TaskId::new("dead"));
    provision(&env).await;
    assert!(matches!(fakes.session("s"), Session::Starting(_)));
    let warm = fakes.store.warm(id).await.unwrap().unwrap().value;
    assert!(matches!(warm, Warm::Retired(_)));
}
