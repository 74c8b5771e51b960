//! The JSON file with the newest value of each figure.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{figure::Figure, machine};

/// Writes these figures. The file's other figures are kept, unless they were measured on another machine.
pub(crate) fn write(path: &Path, figures: &[Figure]) -> Result<()> {
    let at = OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?;
    let commit = machine::output_of("git", &["describe", "--always", "--dirty"]);
    let load = machine::load();
    let measured = figures.iter().map(|figure| {
        let mut figure = figure.json();
        figure["at"] = json!(at);
        figure["commit"] = json!(commit);
        figure["load"] = json!(load);
        figure
    });
    let facts = machine::facts();
    let mut all: Vec<Value> = read(path)?
        .filter(|old| old["machine"] == facts)
        .and_then(|mut old| old["figures"].as_array_mut().map(std::mem::take))
        .unwrap_or_default();
    all.retain(|old| figures.iter().all(|figure| old["id"] != figure.id));
    all.extend(measured);
    let results = json!({ "machine": facts, "figures": all });
    fs::write(path, serde_json::to_string_pretty(&results)? + "\n")?;
    eprintln!("written to {}", path.display());
    Ok(())
}

/// What the file has, if there is one.
fn read(path: &Path) -> Result<Option<Value>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("reading {}", path.display()))?,
    };
    let results = serde_json::from_str(&text);
    results.map(Some).with_context(|| format!("{} is not a file of results", path.display()))
}
