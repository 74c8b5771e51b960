//! ListTasks.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, cluster_name, cluster_of};
use crate::{cluster::Cluster, task::Task};

/// Limit of tasks per page, by the API reference.
const MAX_ITEMS: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Input {
    cluster: Option<String>,
    family: Option<String>,
    started_by: Option<String>,
    desired_status: Option<String>,
    launch_type: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

pub(super) fn handle(cluster: &Cluster, input: Input) -> Result<Value, Refusal> {
    let others = [&input.family, &input.desired_status, &input.launch_type];
    if input.started_by.is_some() && others.iter().any(|other| other.is_some()) {
        // The API reference says of startedBy: "it must be the only filter that you use".
        return Err(Refusal::invalid("startedBy must be the only filter."));
    }
    let most = input.max_results.unwrap_or(MAX_ITEMS);
    if !(1..=MAX_ITEMS).contains(&most) {
        return Err(Refusal::invalid("maxResults must be between 1 and 100."));
    }
    let after = input.next_token.clone().unwrap_or_default();
    let state = cluster.state();
    // The order by id lets a page continue after the last one, also after changes.
    let mut listed = state.tasks.values().filter(|task| task.id > after && input.wants(task));
    let page: Vec<&Task> = listed.by_ref().take(most).collect();
    let next = listed.next().and(page.last()).map(|task| task.id.clone());
    let arns: Vec<&str> = page.iter().map(|task| task.arn.as_str()).collect();
    Ok(match next {
        Some(token) => json!({ "taskArns": arns, "nextToken": token }),
        None => json!({ "taskArns": arns }),
    })
}

impl Input {
    fn wants(&self, task: &Task) -> bool {
        let desired = self.desired_status.as_deref().unwrap_or("RUNNING");
        cluster_of(&task.arn) == cluster_name(self.cluster.as_deref())
            && task.desired() == desired
            && self
                .started_by
                .as_ref()
                .is_none_or(|by| task.requested.started_by.as_ref() == Some(by))
            && self.family.as_ref().is_none_or(|family| task.requested.family == *family)
            && self.launch_type.as_ref().is_none_or(|launch_type| launch_type == task.launch_type())
    }
}
