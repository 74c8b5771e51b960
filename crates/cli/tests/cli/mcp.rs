//! `mcp` and clients that don't do what they should.

use std::{
    io::Write,
    process::{Child, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::json;

use crate::scripted_server::ScriptedServer;

/// The binary's end, within 30 seconds.
fn ended(mut child: Child) -> ExitStatus {
    let (waited, end) = mpsc::channel();
    let id = child.id();
    thread::spawn(move || waited.send(child.wait()));
    let Ok(status) = end.recv_timeout(Duration::from_secs(30)) else {
        let _killed = std::process::Command::new("kill").args(["-9", &id.to_string()]).status();
        panic!("it did not end");
    };
    status.expect("it was awaited")
}

#[test]
fn a_client_that_reads_nothing_and_closes_its_end_stops_the_shell() {
    let accepted = json!({"sessionId": "sh_1", "jobId": "job_1", "status": "queued"});
    let server = ScriptedServer::new([
        ("GET /v1/quota", 200, json!({})),
        ("POST /v1/shell/start", 202, accepted.clone()),
        ("POST /v1/shell/execute", 202, accepted.clone()),
        ("POST /v1/shell/stop", 202, accepted),
    ]);
    let mut child = server
        .command(&["mcp"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let unread = child.stdout.take();
    let mut requests = child.stdin.take().expect("it is piped");
    let opening = json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "c", "version": "1"},
    });
    let run = json!({"name": "run", "arguments": {"command": "true"}});
    let mut lines = vec![
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": opening}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": run}),
    ];
    // Each of the responses has some KiB, so that together they are more than the pipes hold.
    lines.extend((2..500).map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"})));
    for line in lines {
        writeln!(requests, "{line}").expect("it reads");
    }
    drop(requests);

    assert_eq!(ended(child).code(), Some(0));
    assert_eq!(server.sent("POST /v1/shell/stop")["sessionId"], "sh_1");
    drop(unread);
}
