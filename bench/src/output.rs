//! P13: whether every byte of parallel commands is stored.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    Bench, api,
    figure::{Figure, Target},
};

const ROUNDS: u32 = 200;
const AT_ONCE: usize = 20;
/// The size of one output: 900,000 bytes and a last line.
const BYTES: u64 = 900_004;

/// P13: outputs that are shorter than what was written. A command's pipes are read while it ends, so a
/// busy machine is where the end of an output would be missed.
pub(crate) fn short(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 10, 0)?;
    let mut api = server.connect()?;
    let session = api::start_largest(&mut api)?;
    let line = "head -c 900000 /dev/zero | tr '\\0' a; echo END";
    let body = json!({"sessionId": session, "command": line, "concurrency": "parallel"});
    let mut short = 0_u32;
    for _ in 0..ROUNDS {
        let mut jobs = Vec::new();
        for _ in 0..AT_ONCE {
            let job = api.post("/shell/execute", &body)?;
            jobs.push(job["jobId"].as_str().unwrap_or_default().to_owned());
        }
        for job in jobs {
            let job = api::wait(&mut api, &job)?;
            api::completed(&job)?;
            let stdout = &job["stdout"];
            ensure!(stdout["truncated"] == false, "an output is marked as cut: {stdout}");
            short += u32::from(stdout["bytes"] != BYTES || stdout["keptBytes"] != BYTES);
        }
    }
    bench.stop_all(&server)?;
    server.down()?;
    Ok(Figure {
        id: "P13",
        what: format!(
            "outputs of {ROUNDS} x {AT_ONCE} parallel commands, 900 KB each, that are short"
        ),
        value: short.into(),
        unit: "of 4,000",
        peer: None,
        target: Target::AtMost(0.0),
    })
}
