//! The tasks of the sessions that one sweep handles, described together: the provider limits the
//! calls, not the tasks of a call.

use std::collections::HashMap;

use domain::{
    TaskId,
    ports::{BackendError, Due},
    session::Session,
    task::TaskFacts,
};

use crate::Env;

/// What the provider knows of some tasks.
#[derive(Default)]
pub(super) struct KnownTasks(HashMap<TaskId, TaskFacts>);

impl KnownTasks {
    /// Describes the tasks of these sessions, and moves the sessions that are ready to the end of
    /// `due`, because nothing waits for them. If that fails, each task is described when its session
    /// is handled.
    pub(super) async fn of(env: &Env, due: &mut [Due]) -> Self {
        Self::read(env, due).await.unwrap_or_else(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::info!(error, "failed to describe the tasks of due sessions together");
            Self::default()
        })
    }

    async fn read(env: &Env, due: &mut [Due]) -> Result<Self, BackendError> {
        let mut tasks = Vec::new();
        let mut ready = Vec::new();
        for record in &*due {
            let Due::Session(id) = record else { continue };
            let Some(read) = env.store.session(*id).await? else { continue };
            tasks.extend(read.value.task().cloned());
            if matches!(read.value, Session::Ready(_)) {
                ready.push(record.clone());
            }
        }
        due.sort_by_key(|record| ready.contains(record));
        if tasks.is_empty() {
            return Ok(Self::default());
        }
        let found = env.compute.describe(&tasks).await?;
        Ok(Self(found.into_iter().map(|facts| (facts.task.clone(), facts)).collect()))
    }

    /// The facts of a task; `None` if the provider does not know it now. It may not have known a new
    /// task when all were described.
    pub(super) async fn facts(
        &self,
        env: &Env,
        task: &TaskId,
    ) -> Result<Option<TaskFacts>, BackendError> {
        match self.0.get(task) {
            Some(facts) => Ok(Some(facts.clone())),
            None => Ok(env.compute.describe(std::slice::from_ref(task)).await?.into_iter().next()),
        }
    }
}
