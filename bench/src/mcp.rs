//! F3: a command by MCP over stdio, beside the same command by one request to the API.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    Bench, api,
    figure::{Figure, Target, percentile},
    server::Server,
};

const ROUNDS: usize = 200;

/// `ephemeral mcp` and both ends of its pipes.
struct Mcp {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// F3: what a call of the tool `run` takes longer than a request that waits for the same command.
pub(crate) fn call(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 10, 0)?;
    let mut api = server.connect()?;
    let session = api::start_ready(&mut api)?;
    let mut mcp = Mcp::start(&bench.program, &server)?;
    let (mut calls, mut requests) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        mcp.run(&session)?;
        calls.push(begun.elapsed());
        let begun = Instant::now();
        api::run_at_once(&mut api, &session, &["true"])?;
        requests.push(begun.elapsed());
    }
    mcp.end()?;
    api::stop(&mut api, &session)?;
    server.down()?;
    let (call, request) = (percentile(calls, 0.5), percentile(requests, 0.5));
    Ok(Figure {
        id: "F3",
        what: format!("`run true` by MCP beyond execute ({request:.2} ms), p50 of {ROUNDS}"),
        value: call - request,
        unit: "ms",
        peer: None,
        target: Target::AtMost(2.0),
    })
}

impl Mcp {
    fn start(program: &Path, server: &Server) -> Result<Self> {
        let mut process = Command::new(program)
            .arg("mcp")
            .env("EPHEMERAL_URL", format!("http://{}", server.address()))
            .env("EPHEMERAL_TOKEN", server.token())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().context("no pipe")?;
        let output = BufReader::new(process.stdout.take().context("no pipe")?);
        let mut mcp = Self { process, input, output };
        let client = json!({"name": "bench", "version": "1"});
        mcp.request(
            "initialize",
            &json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}),
        )?;
        mcp.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        Ok(mcp)
    }

    fn run(&mut self, session: &str) -> Result<()> {
        let arguments = json!({"command": "true", "session": session});
        let result = self.request("tools/call", &json!({"name": "run", "arguments": arguments}))?;
        let status = &result["structuredContent"]["status"];
        ensure!(status == "completed", "a call did not complete: {result}");
        Ok(())
    }

    fn request(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.send(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut answer: Value = serde_json::from_str(&line)?;
        Ok(answer["result"].take())
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        Ok(self.input.write_all(format!("{message}\n").as_bytes())?)
    }

    fn end(self) -> Result<()> {
        let Self { mut process, input, output } = self;
        drop((input, output));
        ensure!(process.wait()?.success(), "`ephemeral mcp` failed");
        Ok(())
    }
}
