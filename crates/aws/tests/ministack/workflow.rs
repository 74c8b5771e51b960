//! Executions on Step Functions.

use aws::workflow::SfnWorkflow;
use aws_sdk_sfn::{Client, types::ExecutionStatus};
use domain::{
    Secret,
    message::Lane,
    ports::{Resume, Workflow},
};
use serde_json::{Value, json};
use testkit::session_id;

use crate::deployment::Deployment;

/// Sends its token on a queue and waits for the answer, which becomes the execution's output.
fn machine(queue: &str) -> String {
    json!({
        "StartAt": "Wait",
        "States": {"Wait": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {
                "QueueUrl": queue,
                "MessageBody": {"token.$": "$$.Task.Token", "sessionId.$": "$.sessionId"},
            },
            "End": true,
        }},
    })
    .to_string()
}

struct World {
    place: Deployment,
    sfn: Client,
    workflow: SfnWorkflow,
}

impl World {
    async fn make() -> Option<Self> {
        let place = Deployment::make(r#"{"StartAt": "D", "States": {"D": {"Type": "Succeed"}}}"#);
        let place = place.await?;
        let sfn = Client::new(&place.config());
        let definition = machine(&place.queues[&Lane::Control]);
        let update = sfn.update_state_machine().state_machine_arn(&place.machine);
        update.definition(definition).send().await.unwrap();
        let workflow = SfnWorkflow::new(&place.config(), Some(place.machine.clone()));
        Some(Self { place, sfn, workflow })
    }

    /// The token that an execution waits with, as soon as it does.
    async fn waiting(&self) -> (Secret<String>, Value) {
        let sqs = aws_sdk_sqs::Client::new(&self.place.config());
        let receive = sqs.receive_message().queue_url(&self.place.queues[&Lane::Control]);
        let received = receive.wait_time_seconds(20).send().await.unwrap();
        let body: Value = serde_json::from_str(received.messages()[0].body().unwrap()).unwrap();
        (Secret::new(body["token"].as_str().unwrap().to_owned()), body["sessionId"].clone())
    }

    async fn output(&self, session: &str) -> Value {
        let arn = self.place.machine.replace(":stateMachine:", ":execution:") + ":" + session;
        // It goes on by itself, so it ends some time.
        loop {
            let told = self.sfn.describe_execution().execution_arn(&arn).send().await.unwrap();
            if told.status == ExecutionStatus::Succeeded {
                return serde_json::from_str(&told.output.unwrap()).unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_one_execution_and_its_token_is_answered_once() {
    let Some(world) = World::make().await else { return };
    let session = session_id("s");
    world.workflow.start(session).await.unwrap();
    world.workflow.start(session).await.expect("it may come twice");
    let (token, started_for) = world.waiting().await;
    assert_eq!(started_for, json!(session));
    let next = r#"{"action":"stop","waitSeconds":1}"#;
    assert_eq!(world.workflow.resume(&token, next).await.unwrap(), Resume::Resumed);
    assert_eq!(
        world.output(&session.to_string()).await,
        json!({"action": "stop", "waitSeconds": 1})
    );
    assert_eq!(world.workflow.resume(&token, next).await.unwrap(), Resume::NotWaiting);
    world.workflow.start(session).await.expect("nor does it begin again when it is over");
    let executions = world.sfn.list_executions().state_machine_arn(&world.place.machine);
    assert_eq!(executions.send().await.unwrap().executions.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_none_comes_too_late() {
    let Some(world) = World::make().await else { return };
    let token = Secret::new("planted-marker".to_owned());
    assert_eq!(world.workflow.resume(&token, "{}").await.unwrap(), Resume::NotWaiting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_of_no_machine_is_an_error() {
    let Some(world) = World::make().await else { return };
    for machine in [None, Some(world.place.machine.replace("sessions", "no-such-machine"))] {
        let workflow = SfnWorkflow::new(&world.place.config(), machine);
        workflow.start(session_id("s")).await.unwrap_err();
    }
}
