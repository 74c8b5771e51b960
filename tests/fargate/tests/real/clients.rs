//! Programs of others as clients of the API and of the data channel.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::json;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::server::{CLUSTER, Server, TIME_LIMIT, server};

/// The input of a shell; the output must be more than its echo.
const TYPED: &str = "echo $((6*7)) from $(id -un)\nstty size\nexit\n";
const PRINTED: &str = "42 from root\r\n";

/// A file below `target`; `None`, with the reason printed, if it is not installed.
fn installed(path: &str, script: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(path);
    if !path.exists() {
        println!("SKIPPED: {} is missing; {script} installs it", path.display());
        return None;
    }
    Some(path)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// Runs a command that must succeed; returns its output.
async fn run(command: &mut Command, typed: &str) -> String {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).await.unwrap();
    drop(stdin);
    let Output { status, stdout, stderr } =
        timeout(TIME_LIMIT, child.wait_with_output()).await.expect("an end in time").unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// The input of the client scripts: a session with a shell, and the lines to type.
async fn session(server: &Server) -> String {
    let arn = server.running("sh_1").await;
    let input =
        json!({ "cluster": CLUSTER, "task": arn, "interactive": true, "command": "/bin/sh" });
    let response = server.call("ExecuteCommand", input).await.unwrap();
    format!("{}\n{TYPED}", response["session"])
}

#[tokio::test]
async fn the_aws_cli_reaches_a_shell() {
    let own = std::env::var_os("AWS_CLI").map(PathBuf::from);
    let Some(aws) = own.or_else(|| installed("venv/bin/aws", "scripts/aws-tools")) else { return };
    let Some(server) = server().await else { return };
    let arn = server.running("sh_1").await;
    let programs = tempfile::tempdir().unwrap();
    let plugin = programs.path().join("session-manager-plugin");
    symlink(env!("CARGO_BIN_EXE_session-manager-plugin"), plugin).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(aws);
    command
        .args(["ecs", "execute-command", "--cluster", CLUSTER, "--task", &arn])
        .args(["--container", "shell", "--interactive", "--command", "/bin/sh"])
        .args(["--region", "us-east-1", "--endpoint-url", &server.url])
        .env("PATH", path)
        .env("HOME", programs.path())
        .env("AWS_ACCESS_KEY_ID", "nobody")
        .env("AWS_SECRET_ACCESS_KEY", "nothing");
    let printed = run(&mut command, TYPED).await;
    assert!(printed.contains("Starting session with SessionId: ecs-execute-command-"), "{printed}");
    assert!(printed.contains(PRINTED), "{printed}");
    assert!(printed.contains("100 300\r\n"), "the size that the plugin sends: {printed}");
    assert!(printed.contains("Exiting session with sessionId: "), "{printed}");
}

#[tokio::test]
async fn pyssm_client_exchanges_data() {
    let Some(python) = installed("pyssm-client/bin/python", "scripts/client-tools") else { return };
    let Some(server) = server().await else { return };
    let typed = session(&server).await;
    let printed = run(Command::new(python).arg(script("attach.py")), &typed).await;
    assert!(printed.contains(PRINTED), "{printed}");
}

#[tokio::test]
async fn ssm_session_exchanges_data() {
    let Some(modules) = installed("ssm-session/node_modules", "scripts/client-tools") else {
        return;
    };
    let Some(server) = server().await else { return };
    let typed = session(&server).await;
    let mut command = Command::new("node");
    let printed = run(command.arg(script("attach.js")).env("NODE_PATH", modules), &typed).await;
    assert!(printed.contains(PRINTED), "{printed}");
    assert!(printed.contains("45 123\r\n"), "the size that the client sends: {printed}");
}
