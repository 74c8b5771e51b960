//! P8: the binary of the Lambda functions compared with Node.js and the AWS SDK, on the same Runtime API
//! and the same ministack.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, write::DeflateEncoder};
use serde_json::{Value, json};

use crate::{
    Bench,
    figure::{Figure, Target, percentile},
};

mod cloud;
mod runtime_api;

use cloud::Cloud;
use runtime_api::RuntimeApi;

const PEER: &str = "Node.js 20";
/// Number of processes started per program.
const INITS: usize = 10;
/// Number of starts after which the measurement alternates to the other program.
const BATCH: usize = 50;
const BATCHES: usize = 5;

/// A deployment package that Lambda can run.
struct Package {
    /// The deployed file.
    file: PathBuf,
    /// The interpreter that Lambda starts with the file, if the file is not executable itself.
    interpreter: Option<&'static str>,
}

/// A running function.
struct Function {
    child: Child,
    api: RuntimeApi,
    /// Time from the start of the process to its first request for an invocation.
    init: Duration,
}

/// The measurements of one program.
struct Measured {
    init_ms: f64,
    zipped_mib: f64,
    peak_mib: f64,
    start_ms: f64,
    cpu_ms: f64,
}

pub(crate) fn figures(_: &Bench) -> Result<Vec<Figure>> {
    let architecture = std::env::consts::ARCH.replace("aarch64", "arm64");
    let ours = PathBuf::from(format!("target/lambda/{architecture}/bootstrap"));
    let ours = Package { file: ours, interpreter: None };
    let node = PathBuf::from("target/bench/node/index.mjs");
    let node = Package { file: node, interpreter: Some("node") };
    for package in [&ours, &node] {
        ensure!(package.file.exists(), "{} is not there", package.file.display());
    }
    let cloud = Cloud::up()?;
    let [ours, node] = measure(&[ours, node], &cloud)?;
    let row = |what: &str, unit, of: fn(&Measured) -> f64| Figure {
        id: "P8",
        what: format!("bootstrap on Lambda: {what}"),
        value: of(&ours),
        unit,
        peer: Some((PEER, of(&node))),
        target: Target::AtMost(0.2),
    };
    Ok(vec![
        row("start until its first request for work, p50 of 10", "ms", |m| m.init_ms),
        row("size zipped", "MiB", |m| m.zipped_mib),
        row("peak memory", "MiB", |m| m.peak_mib),
        row("a warm start with ministack's part, p50 of 250", "ms", |m| m.start_ms),
        row("its processor time in a warm start", "ms", |m| m.cpu_ms),
    ])
}

/// Measures both programs alternately, so that noise on the machine affects both.
fn measure(packages: &[Package; 2], cloud: &Cloud) -> Result<[Measured; 2]> {
    let mut inits = [Vec::new(), Vec::new()];
    for _ in 0..INITS {
        for (package, inits) in packages.iter().zip(&mut inits) {
            inits.push(package.start(cloud)?.init);
        }
    }
    let mut functions = [packages[0].start(cloud)?, packages[1].start(cloud)?];
    let mut spans = [Vec::new(), Vec::new()];
    let mut cpu = [Duration::ZERO; 2];
    for function in &mut functions {
        function.all_endpoints()?;
    }
    for _ in 0..BATCHES {
        for ((function, spans), cpu) in functions.iter_mut().zip(&mut spans).zip(&mut cpu) {
            let before = function.cpu()?;
            for _ in 0..BATCH {
                spans.push(
                    function.call("POST", "/v1/shell/start", &json!({"network": "egress"}), 202)?.1,
                );
            }
            *cpu += function.cpu()? - before;
        }
    }
    let [mut inits, mut spans] = [inits.into_iter(), spans.into_iter()];
    let mut next = |at: usize| -> Result<Measured> {
        Ok(Measured {
            init_ms: percentile(inits.next().unwrap_or_default(), 0.5),
            zipped_mib: zipped_mib(&packages[at].file)?,
            peak_mib: functions[at].peak_mib()?,
            start_ms: percentile(spans.next().unwrap_or_default(), 0.5),
            #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
            cpu_ms: cpu[at].as_secs_f64() * 1000.0 / (BATCH * BATCHES) as f64,
        })
    };
    Ok([next(0)?, next(1)?])
}

impl Package {
    /// Starts the function and waits for its first request for an invocation.
    fn start(&self, cloud: &Cloud) -> Result<Function> {
        let api = RuntimeApi::open()?;
        let file = self.file.canonicalize()?;
        let mut command = match self.interpreter {
            Some(interpreter) => Command::new(interpreter),
            None => Command::new(&file),
        };
        command.args(self.interpreter.map(|_| &file)).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(cloud.variables()).env("AWS_LAMBDA_RUNTIME_API", api.address());
        // The log of the function is not measured.
        let (begun, child) = (std::time::Instant::now(), command.stdout(Stdio::null()).spawn()?);
        let mut function = Function { child, api, init: Duration::ZERO };
        function.init = function.api.asked()? - begun;
        Ok(function)
    }
}

impl Function {
    /// Calls the three endpoints once, to check that they work and to load all code.
    fn all_endpoints(&mut self) -> Result<()> {
        let started = self
            .call("POST", "/v1/shell/start", &json!({"ttlSeconds": 60, "network": "egress"}), 202)?
            .0;
        let command = json!({"sessionId": started["sessionId"], "command": "true"});
        let accepted = self.call("POST", "/v1/shell/execute", &command, 202)?.0;
        let job = accepted["jobId"].as_str().context("no job")?;
        let job = self.call("GET", &format!("/v1/jobs/{job}"), &Value::Null, 200)?.0;
        ensure!(job["status"] == "queued" && job["type"] == "execute", "{job}");
        let unknown = json!({"ttlSeconds": 60, "tttl": 1});
        self.call("POST", "/v1/shell/start", &unknown, 400)?;
        Ok(())
    }

    /// Sends one request and returns the response body and the duration.
    fn call(
        &mut self,
        method: &str,
        path: &str,
        body: &Value,
        status: u64,
    ) -> Result<(Value, Duration)> {
        let (answer, span) = self.api.invoke(&event(method, path, body))?;
        ensure!(answer["statusCode"] == status, "{method} {path}: {answer}");
        let body = answer["body"].as_str().context("no body")?;
        Ok((serde_json::from_str(body)?, span))
    }

    /// Peak resident memory in MiB.
    fn peak_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmHWM")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }

    /// CPU time of all threads so far, in nanosecond resolution; see proc(5).
    fn cpu(&self) -> Result<Duration> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanos += schedstat.split(' ').next().context("no schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An event of the HTTP API, payload format 2.0.
fn event(method: &str, path: &str, body: &Value) -> Value {
    let claims = json!({"sub": "bench", "token_use": "access", "client_id": "bench"});
    let mut event = json!({
        "version": "2.0",
        "routeKey": "ANY /{proxy+}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "bench", "user-agent": "bench"},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "bench",
            "authorizer": {"jwt": {"claims": claims, "scopes": null}},
            "domainName": "bench",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"},
            "requestId": "bench",
            "stage": "v1",
            "timeEpoch": 1_800_000_000_000_u64,
        },
        "isBase64Encoded": false,
    });
    if !body.is_null() {
        event["body"] = json!(body.to_string());
    }
    event
}

/// The compressed size of this file in a ZIP, without the directory entries.
fn zipped_mib(file: &Path) -> Result<f64> {
    let mut zip = DeflateEncoder::new(Vec::new(), Compression::best());
    zip.write_all(&fs::read(file)?)?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
    let bytes = zip.finish()?.len() as f64;
    Ok(bytes / 1024.0 / 1024.0)
}
