//! Checks after all scenarios.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use client::text;
use serde_json::{Value, json};

use super::Aws;
use crate::{harness::swept, wait::until};

const ENDS_WITHIN: Duration = Duration::from_secs(60);

impl Aws {
    /// Checks that no execution and no task is open, and that no message was dead-lettered.
    pub(crate) async fn audit(&self) -> Result<()> {
        swept(
            async || self.sweep().await,
            until("all executions and tasks to end", ENDS_WITHIN, async || {
                let (executions, tasks) = (self.executions().await?, self.tasks(json!({})).await?);
                let over = executions.is_empty() && tasks.is_empty();
                Ok(if over {
                    Ok(())
                } else {
                    Err(format!("{executions:?} and {tasks:?} are open"))
                })
            }),
        )
        .await?;
        for queue in self.dead_letter_queues().await? {
            let wanted =
                json!({"QueueUrl": queue, "AttributeNames": ["ApproximateNumberOfMessages"]});
            let found = self.calls.json("sqs", "AmazonSQS.GetQueueAttributes", &wanted).await?;
            let messages = text(&found["Attributes"], "ApproximateNumberOfMessages")?;
            ensure!(messages == "0", "{messages} messages were dead-lettered to {queue}");
        }
        Ok(())
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
