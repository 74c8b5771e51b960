//! The name of the task, as ECS gives it: its ARN.

use std::{io, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// The variable with the metadata endpoint of a container
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html>).
const METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";
const TIMEOUT: Duration = Duration::from_secs(2);
/// Right after the start of a task the endpoint may not answer yet.
const TRIES: u32 = 10;
const RETRY_AFTER: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "TaskARN")]
    task_arn: String,
}

pub(crate) async fn name() -> io::Result<String> {
    let url = std::env::var(METADATA).map_err(|_| {
        io::Error::other(format!("the task has no name: neither --task nor {METADATA} is set"))
    })?;
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..TRIES {
        match timeout(TIMEOUT, ask(&url)).await {
            Ok(Ok(name)) => return Ok(name),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
        sleep(RETRY_AFTER).await;
    }
    Err(last)
}

async fn ask(url: &str) -> io::Result<String> {
    let invalid = || io::Error::other("the URL of the metadata endpoint is invalid");
    let rest = url.strip_prefix("http://").ok_or_else(invalid)?;
    let (host, path) = rest.split_once('/').ok_or_else(invalid)?;
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(address).await?;
    // With this version of HTTP the answer ends with the connection.
    let request = format!("GET /{path}/task HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> io::Result<String> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = end.and_then(|end| answer.get(end + 4..)).unwrap_or_default();
    let metadata: Metadata = serde_json::from_slice(body)
        .map_err(|error| io::Error::other(format!("the metadata can't be read: {error}")))?;
    Ok(metadata.task_arn)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_name_is_in_the_body_of_the_answer() {
        let answer = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"TaskARN\":\"a/b\",\"x\":1}";
        assert_eq!(parse(answer).unwrap(), "a/b");
        assert!(parse(b"HTTP/1.0 500 Error\r\n\r\n").is_err());
        assert!(parse(b"").is_err());
    }
}
