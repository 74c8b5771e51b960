//! Which crate may depend on which.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// Each crate of the workspace, and the crates of the workspace that it may depend on.
const ALLOWED: &str = "
adapters | domain link runner
asl      |
aws      | adapters domain handlers link runner ssm
bench    | domain
cli      | local mcp ssm
client   |
crash    | adapters client domain testkit
hostile  | client
domain   |
e2e      | client ssm
fargate  | runner sandbox ssm
handlers | domain
link     | runner ssm
local    | adapters asl domain handlers mcp runner sandbox ssm
mcp      |
model    | asl domain handlers testkit
runner   |
sandbox  | runner
scale    | asl domain handlers testkit
ssm      |
testkit  | domain
";

/// External crates that a crate must not depend on.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("domain", &["tokio", "tracing", "rand", "getrandom", "chrono"]),
    ("handlers", &["tokio", "rusqlite", "lambda_runtime"]),
    ("asl", &["tokio"]),
    ("local", &["lambda_runtime", "lambda_http"]),
];

#[test]
fn every_crate_uses_only_the_crates_that_it_may() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ALLOWED
        .trim()
        .lines()
        .map(|line| line.split_once('|').expect("a crate and a list"))
        .map(|(name, may)| (name.trim(), may.split_whitespace().collect()))
        .collect();
    for (name, uses) in dependencies() {
        let may =
            allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not in the table"));
        for used in uses.iter().filter(|used| allowed.contains_key(used.as_str())) {
            assert!(may.contains(used.as_str()), "{name} must not use {used}");
        }
    }
}

#[test]
fn no_crate_uses_a_forbidden_crate() {
    let dependencies = dependencies();
    for (name, forbidden) in FORBIDDEN {
        for used in &dependencies[*name] {
            assert!(!forbidden.contains(&used.as_str()), "{name} must not use {used}");
            let sdk = used.starts_with("aws-");
            assert!(!sdk, "{name} must not use {used}");
        }
    }
}

/// The dependencies of each crate of the workspace, without dev-dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    packages
        .iter()
        .map(|package| {
            let uses = package["dependencies"].as_array().expect("a list, perhaps empty");
            let uses =
                uses.iter().filter(|used| used["kind"].is_null()).map(|used| text(&used["name"]));
            (text(&package["name"]), uses.collect())
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a name is a string").to_owned()
}
