//! Amazon Resource Names.

/// The parts that all ARNs of a server share.
#[derive(Debug, Clone)]
pub(crate) struct ArnPrefix {
    pub(crate) region: String,
    pub(crate) account: String,
}

impl ArnPrefix {
    pub(crate) fn arn(&self, resource: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{resource}", self.region, self.account)
    }

    pub(crate) fn task_arn(&self, cluster: &str, id: &str) -> String {
        self.arn(&format!("task/{cluster}/{id}"))
    }
}
