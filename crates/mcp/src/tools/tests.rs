use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::*;
use crate::{Api, Server, UnreachableError};

/// An API that accepts what is sent to it, and refuses each request for the state of that.
struct AcceptsOnly;

#[async_trait]
impl Api for AcceptsOnly {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, UnreachableError> {
        if request.method() == Method::POST {
            let accepted = json!({"sessionId": "sh_1", "jobId": "job_1", "status": "running"});
            return Ok(Response::new(accepted.to_string().into()));
        }
        let problem = json!({"code": "too_many_requests", "detail": "too many are open"});
        Ok(Response::builder().status(429).body(problem.to_string().into()).unwrap())
    }
}

/// The result of a call of a tool whose requests are all accepted and then not shown.
async fn accepted_only(tool: &str, arguments: Value) -> Value {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let (input, output) = tokio::io::split(server);
    let served = tokio::spawn(async move {
        Server::new(Arc::new(AcceptsOnly), Map::new()).serve(input, output).await
    });
    let (responses, mut requests) = tokio::io::split(client);
    let opening = json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "c", "version": "1"},
    });
    let messages = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": opening}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments}}),
    ];
    for message in messages {
        requests.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }
    let mut lines = BufReader::new(responses).lines();
    let result = loop {
        let line = lines.next_line().await.unwrap().expect("a response");
        let message: Value = serde_json::from_str(&line).unwrap();
        if message["id"] == 2 {
            break message["result"].clone();
        }
    };
    requests.shutdown().await.unwrap();
    served.await.unwrap().unwrap();
    result
}

#[tokio::test]
async fn a_command_that_was_accepted_keeps_its_id_when_its_state_can_not_be_read() {
    let result = accepted_only("run", json!({"command": "make deploy"})).await;
    assert_ne!(result["isError"], true, "{result}");
    let job = &result["structuredContent"];
    assert_eq!((&job["job"], &job["session"]), (&json!("job_1"), &json!("sh_1")));
    assert_eq!((&job["status"], &job["cursor"]), (&json!("running"), &json!("0.0")));
    let hint = job["hint"].as_str().unwrap();
    assert!(hint.contains("too_many_requests") && hint.contains("`wait` for job_1"), "{hint}");
    let schema = Value::from((*schema::output::<job::JobResult>()).clone());
    assert!(jsonschema::is_valid(&schema, job), "{job}");
}

#[tokio::test]
async fn a_shell_that_was_accepted_keeps_its_id_when_its_state_can_not_be_read() {
    for (tool, arguments, status) in [
        ("start_shell", json!({}), "queued"),
        ("stop_shell", json!({"session": "sh_1"}), "stopping"),
    ] {
        let result = accepted_only(tool, arguments).await;
        assert_ne!(result["isError"], true, "{result}");
        let shell = &result["structuredContent"];
        assert_eq!((&shell["session"], &shell["status"]), (&json!("sh_1"), &json!(status)));
        assert!(shell["hint"].as_str().unwrap().contains("Don't repeat it"), "{shell}");
    }
}

#[test]
fn each_tool_has_schemas_that_hold_as_such_and_hints() {
    for tool in DEFINITIONS.iter() {
        let output = tool.output_schema.as_ref().expect("a schema of the result");
        for schema in [&tool.input_schema, output] {
            let schema = Value::from((**schema).clone());
            assert_eq!(schema["type"], "object", "{}", tool.name);
            jsonschema::meta::validate(&schema).expect("a schema");
        }
        assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
        let hints = tool.annotations.as_ref().expect("hints");
        assert_eq!(hints.read_only_hint.map(|reads| reads && hints.is_destructive()), Some(false));
    }
}

#[test]
fn arguments_that_a_tool_does_not_have_are_refused_by_name() {
    let arguments = |value: Value| value.as_object().unwrap().clone();
    let refused =
        parse::<job::Poll>(arguments(json!({"job": "job_1", "offset": 1}))).err().unwrap();
    assert!(refused.message().contains("unknown field `offset`"), "{refused:?}");
    let refused = parse::<job::Poll>(arguments(json!({"job": 7}))).err().unwrap();
    assert!(refused.message().contains("expected a string"), "{refused:?}");
    assert!(parse::<job::Poll>(arguments(json!({"job": "job_1", "cursor": null}))).is_ok());
}
