//! ministack, and the deployment on it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::{
    Capacity, Transport, Variant,
    process::{self, Program},
    wait::until,
};

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Starts ministack on loopback only. The functions inherit its environment, and so the proxy's URL.
pub(super) async fn start(
    root: &Path,
    dir: &Path,
    logs: &Path,
    port: u16,
    proxy: &str,
    http: &reqwest::Client,
) -> Result<Program> {
    let program = std::env::var_os("MINISTACK")
        .map_or_else(|| root.join("target/venv/bin/ministack"), PathBuf::from);
    ensure!(program.is_file(), "{} is missing; hint: run scripts/aws-tools", program.display());
    let temporary = dir.join("ministack");
    fs::create_dir_all(&temporary)?;
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &temporary)
        .env("TMPDIR", &temporary)
        .env("STATE_DIR", temporary.join("state"))
        .env("S3_DATA_DIR", temporary.join("s3"))
        .env("BIND_HOST", "127.0.0.1")
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        .env("MINISTACK_REGION", "us-east-1")
        .env("LAMBDA_EXECUTOR", "local")
        // These servers would listen on all addresses.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        .env("AWS_ENDPOINT_URL", proxy)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    let mut program = Program::start(&mut command, &process::log(logs, "ministack")?)?;
    let health = format!("http://127.0.0.1:{port}/_ministack/health");
    until("ministack to listen", STARTS_WITHIN, async || {
        program.alive()?;
        Ok(match http.get(&health).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(answer.status().to_string()),
            Err(error) => Err(error.to_string()),
        })
    })
    .await?;
    Ok(program)
}

/// Deploys the synthesized template.
pub(super) async fn deploy(
    root: &Path,
    dir: &Path,
    logs: &Path,
    endpoint: &str,
    variant: Variant,
) -> Result<Value> {
    let log = process::log(logs, "deploy")?;
    let out = tokio::process::Command::new(root.join("target/venv/bin/python"))
        .arg(root.join("tests/aws/deploy.py"))
        .args(["--endpoint", endpoint, "--work-dir"])
        .arg(dir)
        .arg("--root")
        .arg(root)
        .args(["--transport", if variant.transport == Transport::Link { "link" } else { "exec" }])
        .args(["--capacity", if variant.capacity == Capacity::Ec2 { "ec2" } else { "fargate" }])
        .stderr(fs::File::create(&log)?)
        .kill_on_drop(true)
        .output()
        .await?;
    if !out.status.success() {
        bail!("the deployment failed: {}", fs::read_to_string(&log)?);
    }
    Ok(serde_json::from_slice(&out.stdout)?)
}
