//! F1: a file of 1 GiB to a shell and back, beside `cat` through a pipe inside of the shell.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    Bench, api,
    figure::{Figure, Target},
    http::Connection,
    server,
};

const BYTES: u64 = 1 << 30;
const ROUNDS: usize = 5;
const REMOVE: &str = "rm -f /tmp/peer /tmp/ours";

/// The speed in both directions, and what the memory of the server grows by meanwhile.
pub(crate) fn figures(bench: &Bench) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 2, 0)?;
    let mut api = server.connect()?;
    // Memory for the pages of both files, so that the disk does not bound the result.
    let size = json!({"cpu": 4096, "memoryMiB": 8192, "diskMiB": 4096});
    let started = api.post("/shell/start?waitSeconds=25", &json!({"size": size}))?;
    let session = started["sessionId"].as_str().context("no session")?.to_owned();
    let file = format!("/sessions/{session}/files?path=/tmp/ours");
    // The first request of each kind needs memory that the server keeps.
    api.upload(&file, 1 << 20)?;
    api.download(&file)?;
    let before = server::peak_rss_kib(server.pid())?;
    let write_peer = format!("head -c {BYTES} /dev/zero | cat > /tmp/peer");
    let (mut up, mut down, mut up_peer, mut down_peer) = (vec![], vec![], vec![], vec![]);
    for round in 0..=ROUNDS {
        // Both write into memory that the removed file had. A page that a virtual machine has not used for a while
        // costs its host several times the time of a copy, and would be counted for whoever comes first.
        command(&mut api, &session, REMOVE)?;
        let peer = command(&mut api, &session, &write_peer)?;
        let peer = (peer, command(&mut api, &session, "cat /tmp/peer | cat > /dev/null")?);
        command(&mut api, &session, REMOVE)?;
        let ours = timed(|| api.upload(&file, BYTES))?;
        let ours = (ours, timed(|| api.download(&file).map(drop))?);
        // For the same reason the first round is not counted.
        if round > 0 {
            up_peer.push(peer.0);
            down_peer.push(peer.1);
            up.push(ours.0);
            down.push(ours.1);
        }
    }
    let grown = server::peak_rss_kib(server.pid())?.saturating_sub(before);
    bench.stop_all(&server)?;
    server.down()?;
    let speed = |what: &str, ours: Vec<Duration>, peer: Vec<Duration>| Figure {
        id: "F1",
        what: format!("{what} of 1 GiB, median of {ROUNDS}"),
        value: megabytes_per_second(ours),
        unit: "MB/s",
        peer: Some(("cat | cat", megabytes_per_second(peer))),
        target: Target::AtLeast(0.5),
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let grown = grown as f64 / 1024.0;
    Ok(vec![
        speed("upload", up, up_peer),
        speed("download", down, down_peer),
        Figure {
            id: "F1",
            what: "memory that the server needs for these at most".to_owned(),
            value: grown,
            unit: "MiB",
            peer: None,
            target: Target::AtMost(16.0),
        },
    ])
}

/// How long a command line takes, as the shell measures it.
fn command(api: &mut Connection, session: &str, line: &str) -> Result<Duration> {
    let job = api::run(api, session, &["sh", "-c", line])?;
    let millis = job["usage"]["wallMs"].as_u64().context("no duration")?;
    Ok(Duration::from_millis(millis.max(1)))
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

fn megabytes_per_second(mut spans: Vec<Duration>) -> f64 {
    spans.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let megabytes = BYTES as f64 / 1e6;
    megabytes / spans[spans.len() / 2].as_secs_f64()
}
