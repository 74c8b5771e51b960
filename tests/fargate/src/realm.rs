//! Names of things.

/// What an answer says of where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Realm {
    pub(crate) region: String,
    pub(crate) account: String,
}

impl Realm {
    pub(crate) fn arn(&self, resource: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{resource}", self.region, self.account)
    }

    pub(crate) fn task_arn(&self, cluster: &str, id: &str) -> String {
        self.arn(&format!("task/{cluster}/{id}"))
    }
}
