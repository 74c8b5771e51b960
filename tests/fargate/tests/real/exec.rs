//! Commands in running tasks, over the data channel.

use std::time::Duration;

use runner::{
    lines::{self, Decoder},
    protocol::{self, Event, Message, Request},
};
use serde_json::{Value, json};
use ssm::{CloseReason, client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::server::{CLUSTER, Server, TIME_LIMIT, server};

fn execute(arn: &str, command: &str) -> Value {
    json!({ "cluster": CLUSTER, "task": arn, "container": "shell", "interactive": true, "command": command })
}

impl Server {
    /// Runs a command; returns its channel.
    async fn exec(&self, arn: &str, command: &str) -> client::Channel {
        let response = self.call("ExecuteCommand", execute(arn, command)).await.unwrap();
        let session = &response["session"];
        let id = session["sessionId"].as_str().unwrap();
        assert!(id.starts_with("ecs-execute-command-"), "{id}");
        open(session).await
    }

    /// Runs a command to its end; returns its output.
    pub(crate) async fn printed(&self, arn: &str, command: &str) -> String {
        let mut channel = self.exec(arn, command).await;
        read_all(&mut channel).await
    }
}

async fn open(session: &Value) -> client::Channel {
    let text = |name: &str| session[name].as_str().unwrap().to_owned();
    client::open(&text("streamUrl"), &text("tokenValue"), &[]).await.unwrap()
}

async fn read_all(channel: &mut client::Channel) -> String {
    let mut printed = Vec::new();
    timeout(TIME_LIMIT, channel.read_to_end(&mut printed)).await.unwrap().unwrap();
    String::from_utf8(printed).unwrap()
}

/// Reads output until it contains `end`.
async fn read_until(channel: &mut client::Channel, end: &str) -> String {
    let mut printed = String::new();
    while !printed.contains(end) {
        let mut buffer = [0; 4096];
        let length = timeout(TIME_LIMIT, channel.read(&mut buffer)).await.expect(&printed).unwrap();
        assert_ne!(length, 0, "{printed:?}");
        printed.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    printed
}

/// Asserts that the channel was refused, which the protocol shows as a lost connection.
async fn assert_lost(channel: client::Channel) {
    let closed = timeout(TIME_LIMIT, channel.closed()).await.unwrap();
    assert!(matches!(closed, CloseReason::Lost(_)), "{closed:?}");
}

#[tokio::test]
async fn a_command_runs_as_root_on_a_terminal_in_the_sandbox() {
    let Some(server) = server().await else { return };
    let arn = server.running("sh_1").await;
    let line =
        "sh -c 'id -u; tty; hostname; echo $TERM; ps -o sid= -p $$; head -c 21 /proc/1/cmdline'";
    let printed = server.printed(&arn, line).await;
    let lines: Vec<&str> = printed.split("\r\n").map(str::trim).collect();
    assert_eq!(lines[..4], ["0", "/dev/pts/0", "shell", "xterm-256color"], "{printed}");
    assert_ne!(lines[4], "0", "it leads a session of its own: {printed}");
    assert_eq!(lines[5], "/opt/ephemeral/runner");
}

#[tokio::test]
async fn a_command_has_the_limits_of_its_task_and_ends_with_it() {
    let Some(server) = server().await else { return };
    let arn = server.running("sh_1").await;
    let mut channel = server.exec(&arn, "sh -c 'grep -E :memory: /proc/self/cgroup; cat'").await;
    let group = read_until(&mut channel, "\n").await;
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    if own.lines().any(|line| line.contains(":memory:")) {
        // In its cgroup namespace, the group of the command is the root.
        assert!(group.trim().ends_with(":memory:/"), "{group}");
    }
    let caps = server.printed(&arn, "grep -E CapEff /proc/self/status").await;
    assert_eq!(
        caps.trim(),
        "CapEff:\t00000000a80425fb",
        "the capabilities of root in a Docker container"
    );
    let closed = channel.closed();
    server.stop(&arn).await;
    server.until_stopped(&arn).await;
    assert!(matches!(timeout(TIME_LIMIT, closed).await.unwrap(), CloseReason::Ended { .. }));
}

#[tokio::test]
async fn input_reaches_a_shell() {
    let Some(server) = server().await else { return };
    let arn = server.running("sh_1").await;
    let mut shell = server.exec(&arn, "").await;
    shell.resize(123, 45);
    shell.write_all(b"echo $((6*7)); stty size\r").await.unwrap();
    read_until(&mut shell, "42\r\n45 123").await;
    shell.write_all(b"sh -c 'echo $((1+1)) naps; exec sleep 60'\r").await.unwrap();
    read_until(&mut shell, "2 naps").await;
    shell.write_all(b"\x03").await.unwrap();
    shell.write_all(b"exit\r").await.unwrap();
    read_all(&mut shell).await;
}

#[tokio::test]
async fn no_shell_is_between_the_caller_and_the_command() {
    let Some(server) = server().await else { return };
    let arn = server.running("sh_1").await;
    let printed = server.printed(&arn, "echo '$HOME;' \"a  b\" *").await;
    assert_eq!(printed, "$HOME; a  b *\r\n");
    let printed = server.printed(&arn, "/no/such/program").await;
    assert!(printed.starts_with("----------ERROR-------\r\n"), "{printed}");
}

#[tokio::test]
async fn a_terminal_carries_text_only() {
    let Some(server) = server().await else { return };
    let arn = server.running("sh_1").await;
    let printed = server.printed(&arn, r"printf 'a\377b\342\202\254\nc\360'").await;
    assert_eq!(printed, "a\u{fffd}b€\r\nc");
    let lines = server.printed(&arn, "seq 1 30000").await;
    let expected: String = (1..=30_000).map(|number| format!("{number}\r\n")).collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_token_opens_one_channel() {
    let Some(server) = server().await else { return };
    let arn = server.running("sh_1").await;
    let response = server.call("ExecuteCommand", execute(&arn, "cat")).await.unwrap();
    let mut forged = response["session"].clone();
    forged["tokenValue"] = json!("guessed");
    assert_lost(open(&forged).await).await;
    let mut first = open(&response["session"]).await;
    first.write_all(b"hello\r").await.unwrap();
    read_until(&mut first, "hello\r\nhello").await;
    assert_lost(open(&response["session"]).await).await;
    first.write_all(b"\x04").await.unwrap();
    read_all(&mut first).await;
}

#[tokio::test]
async fn an_agent_that_is_not_connected_accepts_no_command() {
    let Some(server) = server().await else { return };
    server.control("faults", json!({ "agentDelayMs": 60_000 })).await;
    let arn = server.running("sh_1").await;
    let refused = server.call("ExecuteCommand", execute(&arn, "true")).await.unwrap_err();
    assert_eq!(refused.0, "TargetNotConnectedException");
    server
        .control("faults", json!({ "agentDelayMs": 0, "disconnected": 1, "firstOutputMs": 300 }))
        .await;
    let arn = server.running("sh_2").await;
    let refused = server.call("ExecuteCommand", execute(&arn, "true")).await.unwrap_err();
    assert_eq!(refused.0, "TargetNotConnectedException");
    let began = std::time::Instant::now();
    assert_eq!(server.printed(&arn, "echo late").await, "late\r\n");
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_task_that_does_not_run_accepts_no_command() {
    let Some(server) = server().await else { return };
    let mut request = crate::server::run_task("sh_1");
    request["enableExecuteCommand"] = json!(false);
    let response = server.call("RunTask", request).await.unwrap();
    let without = response["tasks"][0]["taskArn"].as_str().unwrap();
    server.until(without, |task| task["lastStatus"] == "RUNNING").await;
    let stopped = server.running("sh_2").await;
    server.stop(&stopped).await;
    server.until_stopped(&stopped).await;
    for arn in [without, &stopped, "unknown"] {
        let refused = server.call("ExecuteCommand", execute(arn, "true")).await.unwrap_err();
        assert_eq!(refused.0, "InvalidParameterException", "{arn}");
    }
}

#[tokio::test]
async fn the_runner_is_reached_over_a_terminal() {
    let Some(server) = server().await else { return };
    let arn = server.running("sh_1").await;
    let mut channel = server.exec(&arn, "/opt/ephemeral/runner --stdio").await;
    let (mut lines, mut events) =
        (Decoder::before_greeting(), protocol::Decoder::<Event>::default());
    let mut asked = false;
    loop {
        if lines.is_greeted() && !asked {
            let mut text = Vec::new();
            lines::encode_into(&Request::Probe.encode().unwrap(), &mut text);
            channel.write_all(&text).await.unwrap();
            asked = true;
        }
        let mut buffer = [0; 4096];
        let length = timeout(TIME_LIMIT, channel.read(&mut buffer)).await.unwrap().unwrap();
        assert_ne!(length, 0, "it ended");
        let mut bytes = Vec::new();
        lines.feed(&buffer[..length], &mut bytes).unwrap();
        events.feed(&bytes);
        if let Some(event) = events.next().unwrap() {
            assert!(matches!(event, Event::Ready { .. }), "{event:?}");
            break;
        }
    }
    channel.write_all(lines::END.as_bytes()).await.unwrap();
    read_all(&mut channel).await;
}
