//! The body of a start.

use std::time::Duration;

use domain::{
    Secret,
    command::Program,
    session::{Admission, Spec},
    size::{Network, Size},
};
use serde_json::{Value, json};

use crate::{
    Env, MaxSize, Policy,
    http::{
        command,
        fields::Fields,
        rule::{FieldError, Rule, boolean, bounded, component, integer, one_of},
        webhook::WebhookRequest,
    },
};

mod files;

/// The image of a start that names none.
const DEFAULT_IMAGE: &str = "default";
/// The longest name of an image. Bytes.
const MAX_IMAGE: usize = 256;

/// What a start asks for.
pub(in crate::http) struct StartRequest {
    pub(super) spec: Spec,
    /// The command of a one-shot session.
    pub(super) command: Option<Program>,
    webhook: Option<WebhookRequest>,
}

impl StartRequest {
    /// Reads the body. An image, a network or a lifetime that this deployment does not offer is an
    /// error like any other.
    pub(in crate::http) fn read(fields: &mut Fields<'_>, policy: &Policy) -> Option<Self> {
        let image = fields.with_default("image", image(policy), DEFAULT_IMAGE.to_owned());
        let size = fields.nested("size", |fields| read_size(fields, policy.max_size));
        let ttl = fields.optional("ttlSeconds", ttl(policy));
        let idle_timeout = fields.optional("idleTimeoutSeconds", idle_timeout(policy));
        let env = fields.optional("env", command::env());
        let files = fields.optional("files", files::files(policy));
        let metadata = fields.optional("metadata", command::metadata());
        let network = read_network(fields, policy);
        let spot = boolean().describe("Cheaper capacity that can be taken back.");
        let spot = fields.with_default("spot", spot, false);
        let admission = fields.with_default("admission", admission(policy), Admission::Reject);
        let command = command::program().describe("One shot: run this, then stop the session.");
        let command = fields.optional("command", command);
        let webhook = fields.nested("webhook", |fields| WebhookRequest::read(fields, policy));
        let size = size.unwrap_or_else(|| default_size(policy.max_size));
        let spec = Spec {
            image,
            size,
            ttl: ttl.map_or(policy.default_start_ttl(), Duration::from_secs),
            idle_timeout: idle_timeout.map(Duration::from_secs),
            env: Secret::new(env.unwrap_or_default()),
            metadata: metadata.unwrap_or_default(),
            network: network.unwrap_or(policy.default_network),
            spot,
            admission,
            webhook: None,
            files: Secret::new(files.unwrap_or_default()),
        };
        Some(Self { spec, command, webhook })
    }

    /// The specification, with a generated signing key where the webhook has none, and whether the
    /// caller must be shown that key.
    pub(super) fn into_spec(mut self, env: &Env) -> (Spec, Option<Program>, bool) {
        let show_secret = self.webhook.as_ref().is_some_and(WebhookRequest::needs_secret);
        self.spec.webhook = self.webhook.map(|webhook| webhook.endpoint(env));
        (self.spec, self.command, show_secret)
    }
}

fn image(policy: &Policy) -> Rule<impl Fn(Value) -> Result<String, FieldError>> {
    let read = |value| {
        let image = bounded(value, MAX_IMAGE)?;
        if policy.images.contains(&image) {
            return Ok(image);
        }
        Err(FieldError::new(format!("must be one of: {}", policy.images.join(", "))))
    };
    Rule::new(read, || json!({"type": "string", "maxLength": MAX_IMAGE}))
        .describe("One of the images of this deployment.")
}

fn ttl(policy: &Policy) -> Rule<impl Fn(Value) -> Result<u64, FieldError>> {
    integer(1..=policy.max_start_ttl().as_secs()).describe(
        "The default, 3600 unless configured otherwise, is the deployment's; so is a maximum below \
         this one.",
    )
}

fn idle_timeout(policy: &Policy) -> Rule<impl Fn(Value) -> Result<u64, FieldError>> {
    integer(1..=policy.max_ttl.as_secs()).describe("At most the deployment's longest lifetime.")
}

/// The network of a request. A deployment that does not have the default one demands that the request names
/// another, so that a request means the same everywhere or is refused.
fn read_network(fields: &mut Fields<'_>, policy: &Policy) -> Option<Network> {
    let is_given = fields.has("network");
    let network = fields.optional("network", network(policy));
    if let Some(reason) = policy.refused_networks.get(&policy.default_network)
        && !is_given
    {
        let error =
            FieldError::new(format!("is required, because the default is not available: {reason}"));
        fields.report(error.below("network"));
    }
    network
}

fn network(policy: &Policy) -> Rule<impl Fn(Value) -> Result<Network, FieldError>> {
    let read = |value| {
        let network = (one_of(&[Network::None, Network::Egress]).read)(value)?;
        match policy.refused_networks.get(&network) {
            Some(reason) => Err(FieldError::new(format!("is not available: {reason}"))),
            None => Ok(network),
        }
    };
    Rule::new(read, || component("Network")).describe(
        "The default is `none`. A network that the deployment does not have is a 400 that says why, \
         also if it is the default.",
    )
}

fn admission(policy: &Policy) -> Rule<impl Fn(Value) -> Result<Admission, FieldError>> {
    one_of(&[Admission::Reject, Admission::Queue]).describe(&format!(
        "At the quota: answer 429, or let the session wait for a slot. At most {} of a user's \
         sessions may wait.",
        policy.max_waiting_sessions
    ))
}

/// The size of a start that names none: the default's disk, or the largest that there is.
fn default_size(max: MaxSize) -> Size {
    let disk = Size::DEFAULT.disk_mib().min(max.disk_mib);
    Size::DEFAULT.with_disk(disk).unwrap_or_default()
}

fn read_size(fields: &mut Fields<'_>, max: MaxSize) -> Option<Size> {
    let number = || integer(1..=u64::from(u32::MAX));
    let default = Size::DEFAULT;
    fields.constrain(size_keywords);
    let cpu = fields.optional("cpu", number()).map_or(default.cpu(), narrow);
    let memory = fields.optional("memoryMiB", number()).map_or(default.memory_mib(), narrow);
    let disk = fields.optional("diskMiB", disk()).map(narrow);
    let size = Size::new(cpu, memory).and_then(|size| match disk {
        Some(disk) => size.with_disk(disk),
        None => size.with_disk(default_size(max).disk_mib()),
    });
    let size = size.map_err(|error| fields.report(FieldError::new(error.to_string()))).ok()?;
    if let Some(detail) = excess(size, disk.is_some(), max) {
        fields.report(FieldError::new(detail));
    }
    Some(size)
}

fn disk() -> Rule<impl Fn(Value) -> Result<u64, FieldError>> {
    let (least, most) = (Size::MIN_DISK_MIB, Size::MAX_DISK_MIB);
    let default = Size::DEFAULT.disk_mib();
    integer(least.into()..=most.into()).with("default", &default).describe(
        "MiB of disk for /tmp, the home directory and what is written to the image; a full disk is an \
         error of the command that writes (ENOSPC). At least this much: a task of AWS Fargate has 20 GiB \
         or more. At most the deployment's largest.",
    )
}

/// Why this deployment never has room for a session of this size.
fn excess(size: Size, names_disk: bool, max: MaxSize) -> Option<String> {
    if size.cpu() > max.cpu || size.memory_mib() > max.memory_mib || size.disk_mib() > max.disk_mib
    {
        let mut largest = Vec::new();
        if max.cpu != u32::MAX {
            largest.push(format!("{} units of CPU", max.cpu));
        }
        if max.memory_mib != u32::MAX {
            largest.push(format!("{} MiB of memory", max.memory_mib));
        }
        largest.push(format!("{} MiB of disk", max.disk_mib));
        return Some(format!(
            "must not exceed the largest shell of this server: {}",
            largest.join(", ")
        ));
    }
    let half = size.memory_mib() / 2;
    (max.disk_in_memory && names_disk && size.disk_mib() > half).then(|| {
        format!(
            "diskMiB must be at most half of memoryMiB ({half}): this server holds disks in memory"
        )
    })
}

/// The pairs that exist, as alternatives. A field may be absent where its default makes a pair.
fn size_keywords() -> Value {
    const CPUS: [u32; 5] = [256, 512, 1024, 2048, 4096];
    let default = Size::DEFAULT;
    let pairs = CPUS.map(|cpu| {
        let memory = (1..=64).map(|half| half * 512);
        let memory: Vec<_> = memory.filter(|mib| Size::new(cpu, *mib).is_ok()).collect();
        let is_default = cpu == default.cpu();
        let required: &[&str] = if is_default { &[] } else { &["cpu", "memoryMiB"] };
        // Null counts as absent, so it may stand where the default makes a pair.
        let unless_null = |schema: Value| {
            if is_default { json!({"if": {"type": "integer"}, "then": schema}) } else { schema }
        };
        json!({
            "properties": {
                "cpu": unless_null(json!({"const": cpu})),
                "memoryMiB": unless_null(json!({"enum": memory})),
            },
            "required": required,
        })
    });
    json!({
        "oneOf": pairs,
        "default": {"cpu": default.cpu(), "memoryMiB": default.memory_mib()},
        "description": "Units of 1/1024 core, and MiB; only the pairs of AWS Fargate exist. A size that \
                        the server can never give is a 400.",
    })
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
