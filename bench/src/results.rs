//! The JSON file with the newest value of each figure.

use std::{fs, io::ErrorKind, mem, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{figure::Figure, machine};

/// Writes these figures, each with the time, the commit and the machine of its measurement. The file's other
/// figures are kept, each with its machine; only figures of one machine can be compared.
pub(crate) fn write(path: &Path, figures: &[Figure]) -> Result<()> {
    let at = OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?;
    let commit = machine::output_of("git", &["describe", "--always", "--dirty"]);
    let load = machine::load();
    let machine = machine::facts();
    let measured = figures.iter().map(|figure| {
        let mut figure = figure.json();
        figure["at"] = json!(at);
        figure["commit"] = json!(commit);
        figure["load"] = json!(load);
        figure["machine"] = json!(machine);
        figure
    });
    let mut all = read(path)?;
    all.retain(|old| figures.iter().all(|figure| old["id"] != figure.id));
    all.extend(measured);
    let results = json!({ "figures": all });
    fs::write(path, serde_json::to_string_pretty(&results)? + "\n")?;
    eprintln!("written to {}", path.display());
    Ok(())
}

/// The figures of the file; none if there is no file.
fn read(path: &Path) -> Result<Vec<Value>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("reading {}", path.display()))?,
    };
    let invalid = || format!("{} is not a file of results", path.display());
    let mut results: Value = serde_json::from_str(&text).with_context(invalid)?;
    let figures = results.get_mut("figures").and_then(Value::as_array_mut);
    figures.map(mem::take).with_context(invalid)
}
