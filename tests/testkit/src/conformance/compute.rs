//! The suite of the port `Compute`.

use std::sync::Arc;

use std::time::Duration;

use domain::{
    TaskId,
    ports::{Compute, RunTask, StopError},
    size::{Network, Size},
    task::{TaskFacts, TaskStatus},
};
use futures::future::BoxFuture;

use super::run_cases;

/// An implementation of `Compute`, and what its suite needs.
pub struct ComputeUnderTest {
    /// The port.
    pub compute: Arc<dyn Compute>,
    /// Lets requested changes make progress; called up to 500 times per wait.
    pub settle: Box<dyn Fn() -> BoxFuture<'static, ()>>,
    /// An image that the provider can run.
    pub image: String,
}

impl std::fmt::Debug for ComputeUnderTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComputeUnderTest").field("image", &self.image).finish_non_exhaustive()
    }
}

/// Runs all cases, each on a provider of its own. Every task is stopped at the end.
pub async fn compute_suite(make: impl AsyncFn() -> ComputeUnderTest) {
    run_cases!(make =>
        a_task_starts_and_stops_on_request,
        the_same_token_never_runs_a_second_task,
        tasks_are_found_by_their_starter,
        stopping_twice_is_like_once,
        an_unknown_task_is_left_out,
    );
}

async fn a_task_starts_and_stops_on_request(made: &ComputeUnderTest) {
    let task = made.run("one", "t1").await;
    let up = made.until(&task, TaskStatus::Running).await;
    assert_eq!((up.started_by.as_str(), up.ending), ("one", false));
    made.compute.stop(&task, "over").await.unwrap();
    let gone = made.until(&task, TaskStatus::Stopped).await;
    assert!(gone.version > up.version);
    assert!(gone.ending);
    assert!(gone.stop.is_some());
}

async fn the_same_token_never_runs_a_second_task(made: &ComputeUnderTest) {
    let first = made.run("one", "t1").await;
    assert_eq!(made.run("one", "t1").await, first);
    let second = made.run("one", "t2").await;
    assert_ne!(second, first);
    assert_eq!(made.compute.list(Some("one")).await.unwrap().len(), 2);
    made.end(&[first.clone(), second]).await;
    assert_eq!(made.run("one", "t1").await, first, "even when that one is gone");
}

async fn tasks_are_found_by_their_starter(made: &ComputeUnderTest) {
    let (one, two) = (made.run("one", "t1").await, made.run("two", "t2").await);
    let found = |facts: Vec<TaskFacts>| facts.into_iter().map(|one| one.task).collect::<Vec<_>>();
    assert_eq!(found(made.compute.list(Some("one")).await.unwrap()), vec![one.clone()]);
    assert_eq!(found(made.compute.list(Some("two")).await.unwrap()), vec![two.clone()]);
    assert_eq!(found(made.compute.list(Some("three")).await.unwrap()), []);
    assert_eq!(made.compute.list(None).await.unwrap().len(), 2);
    made.end(&[one, two]).await;
    assert_eq!(made.compute.list(None).await.unwrap(), []);
}

async fn stopping_twice_is_like_once(made: &ComputeUnderTest) {
    let task = made.run("one", "t1").await;
    made.compute.stop(&task, "over").await.unwrap();
    made.compute.stop(&task, "over").await.unwrap();
    made.until(&task, TaskStatus::Stopped).await;
    made.compute.stop(&task, "over").await.unwrap();
}

async fn an_unknown_task_is_left_out(made: &ComputeUnderTest) {
    let unknown = TaskId::new("no-such-task");
    assert_eq!(made.compute.describe(std::slice::from_ref(&unknown)).await.unwrap(), []);
    let answer = made.compute.stop(&unknown, "over").await;
    assert!(matches!(answer, Err(StopError::Unknown)), "{answer:?}");
}

impl ComputeUnderTest {
    async fn run(&self, started_by: &str, token: &str) -> TaskId {
        let task = RunTask {
            started_by: started_by.into(),
            client_token: token.into(),
            image: self.image.clone(),
            size: Size::DEFAULT,
            network: Network::None,
            spot: false,
            lifetime: Duration::from_hours(1),
        };
        self.compute.run(&task).await.expect("there is room")
    }

    /// The task's facts once it has reached this status.
    async fn until(&self, task: &TaskId, status: TaskStatus) -> TaskFacts {
        for _ in 0..500 {
            let found = self.compute.describe(std::slice::from_ref(task)).await.unwrap();
            let facts = found.into_iter().next().expect("the task is known");
            if facts.status >= status {
                return facts;
            }
            (self.settle)().await;
        }
        panic!("{task} did not come to be {status:?}");
    }

    async fn end(&self, tasks: &[TaskId]) {
        for task in tasks {
            self.compute.stop(task, "over").await.unwrap();
            self.until(task, TaskStatus::Stopped).await;
        }
    }
}
