//! Who may enter which room.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// Crate and the crates of ours that it may use, as in ARCHITECTURE.md.
const ROOMS: &str = "
adapters | domain runner
asl      |
aws      | adapters domain handlers runner ssm
bench    | domain
cli      | local ssm
crash    | domain testkit
domain   |
e2e      |
fargate  | runner sandbox ssm
handlers | domain
local    | adapters asl domain handlers runner sandbox ssm
runner   |
sandbox  | runner
ssm      |
model    | asl domain handlers testkit
testkit  | domain
";

/// What must stay out of a crate, whatever it comes with.
const KEPT_OUT: &[(&str, &[&str])] = &[
    ("domain", &["tokio", "tracing", "rand", "getrandom", "chrono"]),
    ("handlers", &["tokio", "rusqlite", "lambda_runtime"]),
    ("asl", &["tokio"]),
    ("local", &["lambda_runtime", "lambda_http"]),
];

#[test]
fn every_crate_uses_only_the_crates_that_it_may() {
    let rooms: BTreeMap<&str, BTreeSet<&str>> = ROOMS
        .trim()
        .lines()
        .map(|line| line.split_once('|').expect("a crate and a list"))
        .map(|(name, may)| (name.trim(), may.split_whitespace().collect()))
        .collect();
    for (name, uses) in dependencies() {
        let may = rooms.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not in the table"));
        for used in uses.iter().filter(|used| rooms.contains_key(used.as_str())) {
            assert!(may.contains(used.as_str()), "{name} must not use {used}");
        }
    }
}

#[test]
fn what_must_stay_out_of_a_crate_does() {
    let dependencies = dependencies();
    for (name, kept_out) in KEPT_OUT {
        for used in &dependencies[*name] {
            assert!(!kept_out.contains(&used.as_str()), "{name} must not use {used}");
            let sdk = used.starts_with("aws-");
            assert!(!sdk, "{name} must not use {used}");
        }
    }
}

/// What each crate of ours needs to be built, by name.
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
