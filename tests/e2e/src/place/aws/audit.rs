//! Checks after all scenarios.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use client::text;
use serde_json::{Value, json};

use super::Aws;
use crate::{harness::swept, wait::until};

const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// The same after a scenario that failed, and may have left a session that lives for an hour.
const ENDS_WITHIN_AFTER_FAILURE: Duration = Duration::from_secs(5);

impl Aws {
    /// Checks that no execution and no task is open, and that no message was dead-lettered.
    pub(crate) async fn audit(&self, any_failed: bool) -> Result<()> {
        let within = if any_failed { ENDS_WITHIN_AFTER_FAILURE } else { ENDS_WITHIN };
        let open = self.await_ends(within).await;
        if open.is_err() {
            for session in self.executions().await? {
                println!("open at the end: {session} {}", self.description(&session).await?);
            }
        }
        open?;
        for queue in self.dead_letter_queues().await? {
            let wanted =
                json!({"QueueUrl": queue, "AttributeNames": ["ApproximateNumberOfMessages"]});
            let found = self.calls.json("sqs", "AmazonSQS.GetQueueAttributes", &wanted).await?;
            let messages = text(&found["Attributes"], "ApproximateNumberOfMessages")?;
            ensure!(messages == "0", "{messages} messages were dead-lettered to {queue}");
        }
        Ok(())
    }

    async fn await_ends(&self, within: Duration) -> Result<()> {
        swept(
            async || self.sweep().await,
            until("all executions and tasks to end", within, async || {
                let (executions, tasks) = (self.executions().await?, self.tasks(json!({})).await?);
                let over = executions.is_empty() && tasks.is_empty();
                Ok(if over {
                    Ok(())
                } else {
                    Err(format!("{executions:?} and {tasks:?} are open"))
                })
            }),
        )
        .await
    }

    /// The state of a session and its user, whose name is that of the scenario that started it.
    async fn description(&self, session: &str) -> Result<String> {
        let key = json!({"pk": {"S": session}, "sk": {"S": "record"}});
        let body = json!({"TableName": self.deployed["table"], "Key": key, "ConsistentRead": true});
        let read = self.calls.json("dynamodb", "DynamoDB_20120810.GetItem", &body).await?;
        let record: Value = serde_json::from_str(&text(&read["Item"]["record"], "S")?)?;
        Ok(format!("of {} is {}", record["head"]["user"], record["state"]))
    }

    /// The names of the running executions.
    async fn executions(&self) -> Result<Vec<String>> {
        let machine = text(&self.deployed, "stateMachine")?;
        let body = json!({"stateMachineArn": machine, "statusFilter": "RUNNING"});
        let list = self.calls.json("states", "AWSStepFunctions.ListExecutions", &body).await?;
        let list = list["executions"].as_array().context("no list")?;
        Ok(list.iter().filter_map(|one| one["name"].as_str().map(str::to_owned)).collect())
    }

    async fn dead_letter_queues(&self) -> Result<Vec<String>> {
        let list = self.calls.json("sqs", "AmazonSQS.ListQueues", &json!({})).await?;
        let list = list["QueueUrls"].as_array().context("no list")?;
        let all = list.iter().filter_map(Value::as_str).map(str::to_owned);
        let dead: Vec<_> = all.filter(|url| url.contains("DeadLetters")).collect();
        ensure!(dead.len() == 4, "each lane has one: {dead:?}");
        Ok(dead)
    }
}
