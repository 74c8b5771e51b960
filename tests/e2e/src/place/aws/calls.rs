//! Calls of the test itself to ministack: they do not pass the proxy, so that they are not counted.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// A client of ministack, which reads service and region from the signature and does not check it.
#[derive(Debug)]
pub(super) struct Calls {
    http: reqwest::Client,
    url: String,
}

impl Calls {
    pub(super) fn new(http: reqwest::Client, url: &str) -> Self {
        Self { http, url: url.to_owned() }
    }

    /// A call in AWS's JSON protocol.
    pub(super) async fn json(&self, service: &str, target: &str, body: &Value) -> Result<Value> {
        self.json_at(&self.url, service, target, body).await
    }

    /// A call in AWS's JSON protocol to another server.
    pub(super) async fn json_at(
        &self,
        url: &str,
        service: &str,
        target: &str,
        body: &Value,
    ) -> Result<Value> {
        let request = self.http.post(url).header("x-amz-target", target);
        let request = request.header("content-type", "application/x-amz-json-1.1");
        let answer = request
            .header("authorization", credential(service))
            .body(body.to_string())
            .send()
            .await?;
        let (status, body_text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{target}: {status}: {body_text}");
        Ok(if body_text.is_empty() { Value::Null } else { serde_json::from_str(&body_text)? })
    }

    /// Invokes a function and waits for its result.
    pub(super) async fn invoke(&self, function: &str) -> Result<()> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.url);
        let request = self.http.post(url).header("authorization", credential("lambda"));
        let answer = request.json(&json!({})).send().await?;
        let failed = answer.headers().contains_key("x-amz-function-error");
        let (status, body_text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success() && !failed, "{function}: {status}: {body_text}");
        Ok(())
    }

    /// All logs, by group.
    pub(super) async fn logs(&self) -> Result<Vec<(String, String)>> {
        let groups = self.all("DescribeLogGroups", &json!({}), "logGroups").await?;
        let mut logs = BTreeMap::new();
        for group in groups {
            let name = group["logGroupName"].as_str().context("a group without a name")?;
            let body = json!({"logGroupName": name});
            let events = self.all("FilterLogEvents", &body, "events").await?;
            let lines = events.iter().filter_map(|event| event["message"].as_str());
            logs.insert(name.to_owned(), lines.collect::<Vec<_>>().join("\n"));
        }
        Ok(logs.into_iter().collect())
    }

    /// All pages of a list of CloudWatch Logs.
    async fn all(&self, operation: &str, body: &Value, field: &str) -> Result<Vec<Value>> {
        let (mut body, mut all) = (body.clone(), Vec::new());
        loop {
            let page = self.json("logs", &format!("Logs_20140328.{operation}"), &body).await?;
            all.extend(page[field].as_array().cloned().unwrap_or_default());
            let Some(next) = page["nextToken"].as_str() else { return Ok(all) };
            body["nextToken"] = json!(next);
        }
    }
}

fn credential(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=0"
    )
}
