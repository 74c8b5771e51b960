//! The AWS services that function `api` needs: ministack with the table and two queues.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

const TABLE: &str = "ephemeral";
const UP_WITHIN: Duration = Duration::from_secs(60);

/// A running ministack. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Cloud {
    child: Child,
    address: SocketAddr,
    queues: [(&'static str, String); 3],
    _dir: TempDir,
}

impl Cloud {
    pub(super) fn up() -> Result<Self> {
        let program = std::env::var_os("MINISTACK")
            .map_or_else(|| PathBuf::from("target/venv/bin/ministack"), PathBuf::from);
        ensure!(program.exists(), "there is no ministack; scripts/aws-tools installs it");
        let dir = tempfile::Builder::new().prefix("ephemeral-bench-").tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(program)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", dir.path())
            .env("TMPDIR", dir.path())
            .env("STATE_DIR", dir.path().join("state"))
            .env("S3_DATA_DIR", dir.path().join("s3"))
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", address.port().to_string())
            .env("LOG_LEVEL", "WARNING")
            // Disables the services that would listen on all addresses.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let queues = ["CONTROL", "EXEC", "WEBHOOKS"].map(|lane| (lane, String::new()));
        let mut cloud = Self { child, address, queues, _dir: dir };
        cloud.await_health()?;
        cloud.call("dynamodb", "DynamoDB_20120810.CreateTable", &table()?)?;
        for at in 0..cloud.queues.len() {
            let name = json!({"QueueName": cloud.queues[at].0});
            let made = cloud.call("sqs", "AmazonSQS.CreateQueue", &name)?;
            made["QueueUrl"].as_str().context("no queue")?.clone_into(&mut cloud.queues[at].1);
        }
        Ok(cloud)
    }

    /// The environment variables of function `api`.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let fixed = [
            ("_HANDLER", "api"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_LAMBDA_FUNCTION_NAME", "api"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "bench"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "bench"),
            ("EPHEMERAL_TABLE", TABLE),
            ("EPHEMERAL_MAX_ACTIVE_SESSIONS", "100000"),
            ("EPHEMERAL_SECURITY_GROUP_EGRESS", "sg-0"),
            ("RUST_LOG", "warn"),
            // The SDK warns about the end of support for Node.js 20.
            ("NODE_NO_WARNINGS", "1"),
        ];
        let mut all = fixed.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        all.push(("AWS_ENDPOINT_URL".to_owned(), format!("http://{}", self.address)));
        let queues = self.queues.iter();
        all.extend(queues.map(|(lane, url)| (format!("EPHEMERAL_QUEUE_{lane}"), url.clone())));
        all
    }

    fn await_health(&self) -> Result<()> {
        let begun = Instant::now();
        while !self.exchange("GET /_ministack/health", "", "").is_ok_and(|(ok, _)| ok) {
            ensure!(begun.elapsed() < UP_WITHIN, "ministack does not come up");
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Sends a request in the AWS JSON protocol.
    fn call(&self, service: &str, target: &str, body: &Value) -> Result<Value> {
        let headers = format!(
            "x-amz-target: {target}\r\ncontent-type: application/x-amz-json-1.0\r\nauthorization: \
             AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, \
             SignedHeaders=host, Signature=0\r\n"
        );
        let (ok, response) = self.exchange("POST /", &headers, &body.to_string())?;
        ensure!(ok, "{target}: {response}");
        Ok(serde_json::from_str(&response)?)
    }

    /// Uses HTTP/1.0, so that the end of the connection is the end of the response.
    fn exchange(&self, line: &str, headers: &str, body: &str) -> Result<(bool, String)> {
        let mut stream = TcpStream::connect(self.address)?;
        let length = body.len();
        let head = format!("{line} HTTP/1.0\r\nhost: 127.0.0.1\r\n{headers}");
        stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        Ok((head.contains(" 200 "), body.to_owned()))
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The table definition of the deployment.
fn table() -> Result<Value> {
    let described: Value = serde_json::from_str(&fs::read_to_string("infra/table.json")?)?;
    let keys = |of: &Value| {
        json!([
            {"AttributeName": of["partitionKey"]["name"], "KeyType": "HASH"},
            {"AttributeName": of["sortKey"]["name"], "KeyType": "RANGE"},
        ])
    };
    let none = Vec::new();
    let indexes = described["indexes"].as_array().unwrap_or(&none);
    let attributes: Vec<Value> = std::iter::once(&described)
        .chain(indexes)
        .flat_map(|of| [&of["partitionKey"], &of["sortKey"]])
        .map(|key| json!({"AttributeName": key["name"], "AttributeType": key["type"]}))
        .collect();
    let index = |of: &Value| {
        let mut projection = json!({"ProjectionType": of["projection"]});
        if let Some(include) = of.get("include") {
            projection["NonKeyAttributes"] = include.clone();
        }
        json!({"IndexName": of["name"], "KeySchema": keys(of), "Projection": projection})
    };
    Ok(json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": keys(&described),
        "AttributeDefinitions": attributes,
        "GlobalSecondaryIndexes": indexes.iter().map(index).collect::<Vec<_>>(),
    }))
}
