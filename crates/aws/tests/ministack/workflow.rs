//! The workflow port on Step Functions.

use aws::workflow::SfnWorkflow;
use aws_sdk_sfn::Client;
use aws_sdk_sqs::Client as Sqs;
use domain::{
    Secret,
    message::Lane,
    ports::{Answer, Resume, Workflow},
};
use serde_json::{Value, json};
use testkit::session_id;

use crate::deployment::Deployment;

/// A state machine that sends its task token to a queue, and then the output of the callback.
fn machine(queue: &str) -> String {
    json!({
        "StartAt": "Wait",
        "States": {
            "Wait": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Parameters": {
                    "QueueUrl": queue,
                    "MessageBody": {"token.$": "$$.Task.Token", "sessionId.$": "$.sessionId"},
                },
                "Next": "Report",
            },
            "Report": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sqs:sendMessage",
                "Parameters": {"QueueUrl": queue, "MessageBody.$": "$"},
                "End": true,
            },
        },
    })
    .to_string()
}

struct Fixture {
    deployment: Deployment,
    sfn: Client,
    workflow: SfnWorkflow,
}

impl Fixture {
    async fn create() -> Option<Self> {
        let any = r#"{"StartAt": "D", "States": {"D": {"Type": "Succeed"}}}"#;
        let deployment = Deployment::create(any).await?;
        let sfn = Client::new(&deployment.config());
        let definition = machine(&deployment.queues[&Lane::Control]);
        let update = sfn.update_state_machine().state_machine_arn(&deployment.machine);
        update.definition(definition).send().await.unwrap();
        let workflow = SfnWorkflow::new(&deployment.config(), Some(deployment.machine.clone()));
        Some(Self { deployment, sfn, workflow })
    }

    /// The token of the waiting execution, and the session that it was started for.
    async fn token(&self) -> (Secret<String>, Value) {
        let body = self.message().await;
        (Secret::new(body["token"].as_str().unwrap().to_owned()), body["sessionId"].clone())
    }

    /// The next message that the state machine sends.
    async fn message(&self) -> Value {
        let (sqs, queue) =
            (Sqs::new(&self.deployment.config()), &self.deployment.queues[&Lane::Control]);
        let receive = sqs.receive_message().queue_url(queue).wait_time_seconds(20);
        let received = receive.send().await.unwrap();
        let message = &received.messages()[0];
        let receipt = message.receipt_handle().unwrap();
        sqs.delete_message().queue_url(queue).receipt_handle(receipt).send().await.unwrap();
        serde_json::from_str(message.body().unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_one_execution_and_its_token_is_accepted_once() {
    let Some(fixture) = Fixture::create().await else { return };
    let session = session_id("s");
    fixture.workflow.start(session).await.unwrap();
    fixture.workflow.start(session).await.expect("a second start succeeds");
    let (token, started_for) = fixture.token().await;
    assert_eq!(started_for, json!(session));
    let next = r#"{"action":"stop","waitSeconds":1}"#;
    assert_eq!(
        fixture.workflow.resume(&token, Answer::Output(next)).await.unwrap(),
        Resume::Resumed
    );
    assert_eq!(fixture.message().await, json!({"action": "stop", "waitSeconds": 1}));
    assert_eq!(
        fixture.workflow.resume(&token, Answer::Output(next)).await.unwrap(),
        Resume::NotWaiting
    );
    fixture.workflow.start(session).await.expect("a start after the end succeeds");
    let executions = fixture.sfn.list_executions().state_machine_arn(&fixture.deployment.machine);
    assert_eq!(executions.send().await.unwrap().executions.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_token_is_not_waited_for() {
    let Some(fixture) = Fixture::create().await else { return };
    let token = Secret::new("planted-marker".to_owned());
    assert_eq!(
        fixture.workflow.resume(&token, Answer::Output("{}")).await.unwrap(),
        Resume::NotWaiting
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_a_state_machine_is_an_error() {
    let Some(fixture) = Fixture::create().await else { return };
    for machine in [None, Some(fixture.deployment.machine.replace("sessions", "no-such-machine"))] {
        let workflow = SfnWorkflow::new(&fixture.deployment.config(), machine);
        workflow.start(session_id("s")).await.unwrap_err();
    }
}
