//! The functions as Lambda runs them: processes of the real program.

use aws_sdk_sfn::types::ExecutionStatus;
use domain::message::{Lane, Message};
use serde_json::{Value, json};

use crate::{deployment::Deployment, lambda::Lambda};

/// A state machine that succeeds at once.
const MACHINE: &str = r#"{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}"#;

/// The id of a session that does not exist.
const UNKNOWN: &str = "sh_01KDWPXG0000000000000000S0";

/// An event of the HTTP API for a request with this path.
fn request(method: &str, path: &str, claims: Option<Value>, body: Option<Value>) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "ANY /{proxy+}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "x.execute-api.us-east-1.amazonaws.com"},
        "requestContext": {
            "accountId": "000000000000",
            "authorizer": claims.map(|claims| json!({"jwt": {"claims": claims, "scopes": null}})),
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"},
            "stage": "v1",
            "timeEpoch": 1_767_225_600_000_i64,
        },
        "body": body.map(|body| body.to_string()),
        "isBase64Encoded": false,
    })
}

fn ann() -> Option<Value> {
    Some(json!({"sub": "ann", "token_use": "access", "exp": "1767229200"}))
}

fn batch(messages: &[Value]) -> Value {
    let records = messages.iter().enumerate().map(|(at, message)| {
        json!({
            "messageId": at.to_string(),
            "receiptHandle": "r",
            "body": message.as_str().map_or_else(|| message.to_string(), str::to_owned),
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:control",
            "awsRegion": "us-east-1",
        })
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

fn body(response: &Value) -> Value {
    serde_json::from_str(response["body"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_request_reaches_an_execution_through_the_control_queue() {
    let Some(deployment) = Deployment::create(MACHINE).await else { return };
    let api = Lambda::start("api", &deployment.variables()).await;
    let wanted = json!({"command": "planted-marker", "network": "egress"});
    let start = request("POST", "/v1/shell/start", ann(), Some(wanted));
    let response = api.invoke(start).await.unwrap();
    assert_eq!(response["statusCode"], 202, "{response}");
    let accepted = body(&response);
    let session = accepted["sessionId"].as_str().unwrap();

    let polled = request("GET", accepted["links"]["job"].as_str().unwrap(), ann(), None);
    assert_eq!(body(&api.invoke(polled.clone()).await.unwrap())["status"], "queued");
    let foreign = Some(json!({"sub": "bob", "token_use": "access"}));
    let path = accepted["links"]["job"].as_str().unwrap();
    let response = api.invoke(request("GET", path, foreign, None)).await.unwrap();
    assert_eq!(response["statusCode"], 404, "{response}");

    let messages = deployment.take(Lane::Control).await;
    let wanted = Message::StartSession { session: session.parse().unwrap() };
    assert_eq!(messages, std::slice::from_ref(&wanted));
    let control = Lambda::start("control", &deployment.variables()).await;
    // SQS may deliver a message twice.
    let twice = batch(&[json!(wanted), json!(wanted)]);
    assert_eq!(control.invoke(twice).await.unwrap(), json!({"batchItemFailures": []}));
    let arn = deployment.machine.replace(":stateMachine:", ":execution:") + ":" + session;
    let sfn = aws_sdk_sfn::Client::new(&deployment.config());
    let execution = sfn.describe_execution().execution_arn(arn).send().await.unwrap();
    assert!(matches!(execution.status, ExecutionStatus::Running | ExecutionStatus::Succeeded));
    assert_eq!(execution.input.unwrap(), json!({"sessionId": session}).to_string());

    for function in [api, control] {
        let log = function.log().await;
        assert!(!log.contains("planted-marker"), "{log}");
        assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_failed_messages_of_a_batch_are_delivered_again() {
    let Some(deployment) = Deployment::create(MACHINE).await else { return };
    let control = Lambda::start("control", &deployment.variables()).await;
    let bad = json!({"type": "startSession", "session": UNKNOWN});
    let messages = [json!("planted-marker"), bad, json!({"type": "fillPool"})];
    let response = control.invoke(batch(&messages)).await.unwrap();
    let failed = json!([{"itemIdentifier": "0"}, {"itemIdentifier": "1"}]);
    assert_eq!(response, json!({"batchItemFailures": failed}));
    let log = control.log().await;
    assert!(log.contains("failed to decode a message"), "{log}");
    assert!(!log.contains("planted-marker"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_has_the_error_name_that_the_state_machine_catches() {
    let Some(deployment) = Deployment::create(MACHINE).await else { return };
    let provision = Lambda::start("provision-task", &deployment.variables()).await;
    let error = provision.invoke(json!({"sessionId": "planted-marker"})).await.unwrap_err();
    assert_eq!(error["errorType"], "BadInput");
    assert!(!error.to_string().contains("planted-marker"));
    let mut variables = deployment.variables();
    variables.insert("EPHEMERAL_TABLE".into(), "no-such-table".into());
    let inspect = Lambda::start("inspect-session", &variables).await;
    let session = json!({"sessionId": UNKNOWN});
    let error = inspect.invoke(session).await.unwrap_err();
    assert_eq!(error["errorType"], "Backend", "{error}");
    let log = inspect.log().await;
    assert_eq!(log.matches("inspect-session failed: Backend").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schedule_runs_the_sweep() {
    let Some(deployment) = Deployment::create(MACHINE).await else { return };
    let mut variables = deployment.variables();
    // Nothing listens on this port.
    variables.insert("AWS_ENDPOINT_URL_ECS".into(), "http://127.0.0.1:9".into());
    let sweep = Lambda::start("sweep", &variables).await;
    let event = json!({"source": "aws.scheduler", "detail-type": "Scheduled Event"});
    let error = sweep.invoke(event).await.unwrap_err();
    assert_eq!(error["errorType"], "Backend");
    let log = sweep.log().await;
    assert!(log.contains("listing tasks failed"), "{log}");
}
