//! The input of RunTask, and the rules of ECS for it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Refusal;

/// The size in every task definition, for requests without overrides.
const DEFAULT_SIZE: TaskSize = TaskSize { cpu: 256, memory: 512 };

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunTask {
    pub(crate) cluster: Option<String>,
    task_definition: String,
    count: Option<usize>,
    pub(crate) client_token: Option<String>,
    pub(crate) started_by: Option<String>,
    pub(crate) group: Option<String>,
    launch_type: Option<String>,
    #[serde(default)]
    capacity_provider_strategy: Vec<Provider>,
    platform_version: Option<String>,
    #[serde(default)]
    pub(crate) enable_execute_command: bool,
    pub(crate) network_configuration: Option<Value>,
    overrides: Option<Value>,
    #[serde(default)]
    placement_constraints: Vec<Value>,
    #[serde(default)]
    placement_strategy: Vec<Value>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    capacity_provider: String,
    #[serde(default)]
    weight: u32,
    #[serde(default)]
    base: u32,
}

#[derive(Debug, Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

/// CPU units of ECS; memory in MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskSize {
    pub(crate) cpu: u32,
    pub(crate) memory: u32,
}

impl RunTask {
    /// Checks all rules except those about account and cluster.
    pub(crate) fn check(&self, instances: &BTreeMap<String, usize>) -> Result<TaskSize, Refusal> {
        if self.task_definition.is_empty() {
            return Err(Refusal::client("ClientException", "TaskDefinition can not be blank."));
        }
        if !(1..=10).contains(&self.count()) {
            return Err(Refusal::invalid("Count must be between 1 and 10."));
        }
        let word = |c: char| c.is_ascii_alphanumeric() || "-/_".contains(c);
        if self.started_by.as_ref().is_some_and(|by| by.len() > 128 || !by.chars().all(word)) {
            return Err(Refusal::invalid("Invalid startedBy: up to 128 of A-Z a-z 0-9 - / _"));
        }
        let printable = |token: &String| token.bytes().all(|byte| (33..=126).contains(&byte));
        if self.client_token.as_ref().is_some_and(|token| token.len() > 64 || !printable(token)) {
            return Err(Refusal::invalid("Invalid clientToken: up to 64 printable characters."));
        }
        if self.overrides.as_ref().is_some_and(|overrides| overrides.to_string().len() > 8192) {
            return Err(Refusal::invalid("The overrides are longer than 8192 characters."));
        }
        self.check_capacity(instances)?;
        self.check_network()?;
        self.check_tags()?;
        self.size()
    }

    /// The rules that differ between Fargate and instances.
    fn check_place(&self, on_instance: bool) -> Result<(), Refusal> {
        let network = self.network_configuration.as_ref();
        let address = network.map(|network| &network["awsvpcConfiguration"]["assignPublicIp"]);
        if on_instance && address.is_some_and(|address| address == "ENABLED") {
            let message = "Assign public IP is not supported for this launch type.";
            return Err(Refusal::invalid(message));
        }
        let storage = self.overrides.as_ref().map(|overrides| &overrides["ephemeralStorage"]);
        if on_instance && storage.is_some_and(|storage| !storage.is_null()) {
            return Err(Refusal::invalid("Ephemeral storage is supported on Fargate only."));
        }
        let chooses = !self.placement_constraints.is_empty() || !self.placement_strategy.is_empty();
        if chooses && !on_instance {
            return Err(Refusal::invalid(
                "Placement constraints and strategies are not supported with FARGATE.",
            ));
        }
        Ok(())
    }

    fn check_capacity(&self, instances: &BTreeMap<String, usize>) -> Result<(), Refusal> {
        let strategy = &self.capacity_provider_strategy;
        if !strategy.is_empty() && self.launch_type.is_some() {
            return Err(Refusal::invalid(
                "Specifying both a launch type and capacity provider strategy is not supported. \
                 Remove one and try again.",
            ));
        }
        let on_instance = self.provider().is_some_and(|name| instances.contains_key(name));
        self.check_place(on_instance)?;
        let known =
            |name: &str| matches!(name, "FARGATE" | "FARGATE_SPOT") || instances.contains_key(name);
        if let Some(other) = strategy.iter().find(|item| !known(&item.capacity_provider)) {
            let name = &other.capacity_provider;
            return Err(Refusal::invalid(format!(
                "The specified capacity provider {name} was not found."
            )));
        }
        if !strategy.is_empty() && strategy.iter().all(|item| item.weight == 0) {
            return Err(Refusal::invalid(
                "The specified capacity provider strategy does not contain a capacity provider \
                 with a weight greater than zero.",
            ));
        }
        match self.launch_type.as_deref() {
            None | Some("FARGATE") => Ok(()),
            Some(other) => Err(Refusal::invalid(format!("No {other} here, only FARGATE."))),
        }
    }

    fn check_network(&self) -> Result<(), Refusal> {
        if self.subnet().is_empty() {
            return Err(Refusal::invalid(
                "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
            ));
        }
        Ok(())
    }

    fn check_tags(&self) -> Result<(), Refusal> {
        let fits = |tag: &Tag| {
            (1..=128).contains(&tag.key.chars().count())
                && tag.value.chars().count() <= 256
                && !tag.key.to_ascii_lowercase().starts_with("aws:")
        };
        if self.tags.len() <= 50 && self.tags.iter().all(fits) {
            return Ok(());
        }
        Err(Refusal::invalid("At most 50 tags, key 128 and value 256 long, none starts with aws:."))
    }

    /// The overridden or default size, if Fargate offers it.
    fn size(&self) -> Result<TaskSize, Refusal> {
        let field = |name: &str, default: u32| match self.overrides.as_ref().map(|o| &o[name]) {
            None | Some(Value::Null) => Ok(default),
            Some(given) => given.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
                Refusal::client("ClientException", format!("Invalid '{name}' setting for task."))
            }),
        };
        let size = TaskSize {
            cpu: field("cpu", DEFAULT_SIZE.cpu)?,
            memory: field("memory", DEFAULT_SIZE.memory)?,
        };
        if size.is_of_fargate() {
            return Ok(size);
        }
        Err(Refusal::client("ClientException", "No Fargate configuration exists for given values."))
    }

    pub(crate) fn count(&self) -> usize {
        self.count.unwrap_or(1)
    }

    /// The capacity provider of this request; `None` for a launch type.
    pub(crate) fn provider(&self) -> Option<&str> {
        let most =
            self.capacity_provider_strategy.iter().max_by_key(|item| (item.base, item.weight));
        most.map(|item| item.capacity_provider.as_str())
    }

    /// Family and revision from a name or an ARN.
    pub(crate) fn task_definition(&self) -> (&str, &str) {
        let name = self.task_definition.rsplit('/').next().unwrap_or_default();
        name.split_once(':').unwrap_or((name, "1"))
    }

    pub(crate) fn platform_version(&self) -> String {
        let given = self.platform_version.as_deref().filter(|version| *version != "LATEST");
        given.unwrap_or("1.4.0").to_owned()
    }

    pub(crate) fn subnet(&self) -> String {
        let network = self.network_configuration.as_ref();
        let first =
            network.and_then(|network| network["awsvpcConfiguration"]["subnets"][0].as_str());
        first.unwrap_or_default().to_owned()
    }

    pub(crate) fn overrides_shown(&self) -> Value {
        let mut overrides = self.overrides.clone().unwrap_or_else(|| json!({}));
        if overrides["containerOverrides"].is_null() {
            overrides["containerOverrides"] = json!([{ "name": crate::view::CONTAINER }]);
        }
        overrides
    }

    pub(crate) fn tags_shown(&self) -> Value {
        let tags = self.tags.iter().map(|tag| json!({ "key": tag.key, "value": tag.value }));
        tags.collect()
    }
}

impl TaskSize {
    /// The pairs of Linux on Fargate, up to 4 vCPU.
    fn is_of_fargate(self) -> bool {
        let gib = |from: u32, to: u32| {
            self.memory.is_multiple_of(1024) && (from..=to).contains(&(self.memory / 1024))
        };
        match self.cpu {
            256 => self.memory == 512 || gib(1, 2),
            512 => gib(1, 4),
            1024 => gib(2, 8),
            2048 => gib(4, 16),
            4096 => gib(8, 30),
            _ => false,
        }
    }
}
