//! The connections that runners open by themselves.

use anyhow::{Result, ensure};
use client::text;
use reqwest::StatusCode;
use serde_json::json;

use super::Aws;

impl Aws {
    /// Whether runners connect by themselves.
    pub(crate) fn has_links(&self) -> bool {
        self.deployed["link"].is_string()
    }

    /// The id of a session's connection, as the functions know it.
    pub(crate) async fn connection(&self, session: &str) -> Result<String> {
        let task = self.task(session).await?;
        let key = json!({"pk": {"S": format!("link#{task}")}, "sk": {"S": "connection"}});
        let body = json!({"TableName": self.deployed["table"], "Key": key, "ConsistentRead": true});
        let read = self.calls.json("dynamodb", "DynamoDB_20120810.GetItem", &body).await?;
        text(&read["Item"]["connection"], "S")
    }

    /// From now on, whatever functions post to this connection is accepted and lost, as on one that is just
    /// being lost.
    pub(crate) fn lose_posts(&self, connection: &str) {
        self.proxy.lose_posts(connection);
    }

    /// How many frames were lost that were posted to this connection.
    pub(crate) fn lost_posts(&self, connection: &str) -> u64 {
        self.proxy.lost_posts(connection)
    }

    /// Closes a connection, as API Gateway does whenever it likes. With injected faults the functions may know
    /// one that was never opened.
    pub(crate) async fn close_connection(&self, connection: &str) -> Result<()> {
        let url = format!("{}/@connections/{connection}", text(&self.deployed, "link")?);
        let status = self.http.delete(url).send().await?.status();
        let is_closed = status.is_success() || status == StatusCode::GONE;
        ensure!(is_closed, "closing a connection: {status}");
        Ok(())
    }
}
