//! DescribeTasks.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, cluster_name, cluster_of, short_name};
use crate::{
    cluster::Cluster,
    view::{self, Form},
};

/// Limit of tasks per call, by the API reference.
const MAX_ITEMS: usize = 100;

#[derive(Debug, Deserialize)]
pub(super) struct Input {
    cluster: Option<String>,
    tasks: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn handle(cluster: &Cluster, input: Input) -> Result<Value, Refusal> {
    if input.tasks.is_empty() {
        return Err(Refusal::invalid("Tasks cannot be empty."));
    }
    if input.tasks.len() > MAX_ITEMS {
        return Err(Refusal::invalid("Tasks can have at most 100 items."));
    }
    let name = cluster_name(input.cluster.as_deref());
    let tags = input.include.iter().any(|field| field == "TAGS");
    let state = cluster.state();
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for named in &input.tasks {
        let known = state.tasks.get(short_name(named));
        match known.filter(|task| cluster_of(&task.arn) == name) {
            Some(task) if tags => tasks.push(view::with_tags(task)),
            Some(task) => tasks.push(view::task(task, Form::Response)),
            None => {
                let arn = cluster.arn_prefix.task_arn(name, short_name(named));
                failures.push(json!({ "arn": arn, "reason": "MISSING" }));
            }
        }
    }
    Ok(json!({ "tasks": tasks, "failures": failures }))
}
