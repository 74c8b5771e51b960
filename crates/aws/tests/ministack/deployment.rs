//! The resources of the functions: a table, the queues, a state machine.

use std::collections::HashMap;

use aws_sdk_sfn::types::{LogLevel, LoggingConfiguration};
use aws_types::SdkConfig;
use domain::message::{Lane, Message};

use crate::{
    server::{Ministack, plain_http},
    store::table,
};

const SERVICES: &str = "dynamodb,sqs,states";

/// An emulator with the resources of the functions.
pub(crate) struct Deployment {
    server: Ministack,
    /// The queues' URLs.
    pub(crate) queues: HashMap<Lane, String>,
    /// The state machine's ARN.
    pub(crate) machine: String,
}

impl Deployment {
    /// Creates the resources; `machine` is the definition of the state machine. Prints a note and returns
    /// none if ministack is not installed.
    pub(crate) async fn create(machine: &str) -> Option<Self> {
        let server = Ministack::start(SERVICES)?;
        let config = server.config_over(plain_http());
        table::create(&aws_sdk_dynamodb::Client::new(&config), "records").await;
        let queues = create_queues(&config).await;
        let log = LoggingConfiguration::builder().level(LogLevel::Off).build();
        let created = aws_sdk_sfn::Client::new(&config)
            .create_state_machine()
            .name("sessions")
            .definition(machine)
            .role_arn("arn:aws:iam::000000000000:role/sessions")
            .logging_configuration(log)
            .send()
            .await
            .unwrap();
        Some(Self { server, queues, machine: created.state_machine_arn })
    }

    /// The configuration of clients.
    pub(crate) fn config(&self) -> SdkConfig {
        self.server.config_over(plain_http())
    }

    /// The environment of a function with all permissions.
    pub(crate) fn variables(&self) -> HashMap<String, String> {
        let mut variables: HashMap<String, String> = [
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &self.server.endpoint()),
            ("EPHEMERAL_TABLE", "records"),
            ("EPHEMERAL_STATE_MACHINE", &self.machine),
            ("EPHEMERAL_CLUSTER", "shells"),
            ("EPHEMERAL_TASK_DEFINITION", "shell"),
            ("EPHEMERAL_SUBNETS", "subnet-a,subnet-b"),
            ("EPHEMERAL_SECURITY_GROUP_EGRESS", "sg-egress"),
            ("EPHEMERAL_FILES_BUCKET", "files"),
            ("EPHEMERAL_FILES_URL", &self.server.endpoint()),
            ("RUST_LOG", "debug"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (lane, url) in &self.queues {
            let name = lane.name().replace('-', "_").to_uppercase();
            variables.insert(format!("EPHEMERAL_QUEUE_{name}"), url.clone());
        }
        variables
    }

    /// Receives and deletes all messages of a lane.
    pub(crate) async fn take(&self, lane: Lane) -> Vec<Message> {
        take(&self.config(), &self.queues[&lane]).await
    }
}

/// Creates a queue for each lane; returns their URLs.
pub(crate) async fn create_queues(config: &SdkConfig) -> HashMap<Lane, String> {
    let sqs = aws_sdk_sqs::Client::new(config);
    let mut queues = HashMap::new();
    for lane in Lane::ALL {
        let created = sqs.create_queue().queue_name(lane.name()).send().await.unwrap();
        queues.insert(lane, created.queue_url.unwrap());
    }
    queues
}

/// Receives and deletes all messages that are visible now.
pub(crate) async fn take(config: &SdkConfig, url: &str) -> Vec<Message> {
    let sqs = aws_sdk_sqs::Client::new(config);
    let mut messages = Vec::new();
    loop {
        let receive = sqs.receive_message().queue_url(url).max_number_of_messages(10);
        let received = receive.send().await.unwrap().messages.unwrap_or_default();
        if received.is_empty() {
            return messages;
        }
        for message in received {
            messages.push(serde_json::from_str(message.body().unwrap()).unwrap());
            let handle = message.receipt_handle().unwrap();
            sqs.delete_message().queue_url(url).receipt_handle(handle).send().await.unwrap();
        }
    }
}
