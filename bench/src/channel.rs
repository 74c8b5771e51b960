//! P11: throughput of the SSM data channel, measured by the example of its crate.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    Bench,
    figure::{Figure, Target},
};

/// The throughput of the slower direction for each message size.
pub(crate) fn figures(bench: &Bench) -> Result<Vec<Figure>> {
    let program: PathBuf = bench.program.with_file_name("examples").join("throughput");
    let ran = Command::new(&program).output();
    let ran = ran.with_context(|| format!("running {}", program.display()))?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let lines = String::from_utf8(ran.stdout)?;
    let lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    [1024, 64 * 1024].into_iter().map(|chunk| figure(&lines, chunk)).collect()
}

fn figure(lines: &[Value], chunk: u64) -> Result<Figure> {
    let rates = lines.iter().filter(|line| line["chunk"] == chunk);
    let rates = rates.filter_map(|line| line["megabytesPerSecond"].as_f64());
    let slowest = rates.reduce(f64::min).with_context(|| format!("no line for {chunk}"))?;
    Ok(Figure {
        id: "P11",
        what: format!("100 MB through the SSM channel in {chunk} B pieces, the slower direction"),
        value: slowest,
        unit: "MB/s",
        peer: None,
        target: Target::AtLeast(100.0),
    })
}
