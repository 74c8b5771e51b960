//! What each function of the deployment on AWS may touch. The deployment makes its rights of the same
//! list; whoever touches more panics here, which is against a law.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    JobId, Secret, SessionId, TaskId,
    command::Command,
    message::Message,
    ports::{
        Attached, BackendError, Compute, PostError, Posted, Queue, Resume, RunError, RunTask,
        Shell, ShellError, SignedPost, StopError, Webhooks, Workflow,
    },
    task::TaskFacts,
};
use handlers::Env;
use serde::Deserialize;

static FUNCTIONS: LazyLock<HashMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let list: List = serde_json::from_str(include_str!("../../../../../infra/handlers.json"))
        .expect("a test of its own writes the list");
    list.functions.into_iter().map(|function| (function.name, function.uses)).collect()
});

#[derive(Deserialize)]
struct List {
    functions: Vec<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    uses: BTreeSet<String>,
}

/// The ports, as far as this function may use them.
pub(crate) fn limited(env: &Env, function: &'static str) -> Env {
    Env {
        queue: Arc::new(Limited::new(&env.queue, function)),
        workflow: Arc::new(Limited::new(&env.workflow, function)),
        compute: Arc::new(Limited::new(&env.compute, function)),
        shell: Arc::new(Limited::new(&env.shell, function)),
        webhooks: Arc::new(Limited::new(&env.webhooks, function)),
        ..env.clone()
    }
}

struct Limited<P: ?Sized> {
    port: Arc<P>,
    function: &'static str,
}

impl<P: ?Sized> Limited<P> {
    fn new(port: &Arc<P>, function: &'static str) -> Self {
        Self { port: Arc::clone(port), function }
    }

    fn uses(&self, right: &str) -> &P {
        let listed = FUNCTIONS[self.function].contains(right);
        assert!(listed, "function {} uses {right}, which it does not list", self.function);
        &self.port
    }
}

#[async_trait]
impl Queue for Limited<dyn Queue> {
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError> {
        self.uses(&format!("queue:{}", message.lane().name())).send(message, delay).await
    }
}

#[async_trait]
impl Workflow for Limited<dyn Workflow> {
    async fn start(&self, session: SessionId) -> Result<(), BackendError> {
        self.uses("workflow:start").start(session).await
    }

    async fn resume(&self, token: &Secret<String>, output: &str) -> Result<Resume, BackendError> {
        self.uses("workflow:resume").resume(token, output).await
    }
}

#[async_trait]
impl Compute for Limited<dyn Compute> {
    async fn run(&self, task: &RunTask) -> Result<TaskId, RunError> {
        self.uses("compute:run").run(task).await
    }

    async fn stop(&self, task: &TaskId, reason: &str) -> Result<(), StopError> {
        self.uses("compute:stop").stop(task, reason).await
    }

    async fn describe(&self, tasks: &[TaskId]) -> Result<Vec<TaskFacts>, BackendError> {
        self.uses("compute:read").describe(tasks).await
    }

    async fn list(&self, started_by: Option<&str>) -> Result<Vec<TaskFacts>, BackendError> {
        self.uses("compute:read").list(started_by).await
    }
}

#[async_trait]
impl Shell for Limited<dyn Shell> {
    async fn probe(&self, task: &TaskId) -> Result<(), ShellError> {
        self.uses("shell").probe(task).await
    }

    async fn start(
        &self,
        task: &TaskId,
        job: JobId,
        command: &Command,
        env: &BTreeMap<String, String>,
        from: (u64, u64),
    ) -> Result<Box<dyn Attached>, ShellError> {
        self.uses("shell").start(task, job, command, env, from).await
    }

    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError> {
        self.uses("shell").signal(task, job, signal).await
    }

    async fn cancel(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        self.uses("shell").cancel(task, job).await
    }

    async fn release(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        self.uses("shell").release(task, job).await
    }
}

#[async_trait]
impl Webhooks for Limited<dyn Webhooks> {
    async fn post(&self, post: &SignedPost) -> Result<Posted, PostError> {
        self.uses("webhooks").post(post).await
    }
}
