use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

fn address(url: String) -> Address {
    Address { url, token: "secret".to_owned() }
}

fn client() -> Client {
    Client::new(address("http://127.0.0.1:1".to_owned())).expect("a client")
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stopped_responding_is_retried_for_ten_seconds() {
    let client = client();
    let started = Instant::now();
    let calls = std::cell::Cell::new(0);
    let result: Result<(), CliError> = client
        .retry(async || {
            calls.set(calls.get() + 1);
            Err(CliError::other("no response").transient())
        })
        .await;
    let elapsed = started.elapsed();

    assert!(result.is_err_and(|error| error.is_transient()));
    assert!((RETRY_TIME - MAX_RETRY_DELAY..=RETRY_TIME).contains(&elapsed), "{elapsed:?}");
    assert_eq!(calls.get(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_not_retried() {
    let started = Instant::now();
    let result: Result<(), CliError> =
        client().retry(async || Err(CliError::other("not found"))).await;
    assert!(result.is_err() && started.elapsed().is_zero());
}

#[test]
fn an_error_is_transient_only_after_the_server_has_responded() {
    let client = client();
    assert!(!client.after_connection(CliError::other("no response")).is_transient());
    client.connected.store(true, Ordering::Relaxed);
    assert!(client.after_connection(CliError::other("no response")).is_transient());
}

#[tokio::test]
async fn an_event_stream_without_bytes_ends_after_the_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let client =
        Client::with_silence(address(url), Some(Duration::from_millis(50))).expect("a client");
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("it is open"));
        }
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: \n\n";
        stream.write_all(head).await.expect("it is open");
        // There is nothing to read until the client closes the connection.
        stream.read_to_end(&mut Vec::new()).await
    });
    let mut response = client.events("/jobs/job_1/stream", "0.0").await.expect("a stream");

    assert_eq!(response.chunk().await.expect("a comment").as_deref(), Some(b": \n\n".as_slice()));
    assert!(response.chunk().await.is_err_and(|error| error.is_timeout()));
    drop(response);
    silent.await.expect("it does not panic").expect("the connection was closed");
}

#[test]
fn the_only_invalid_field_is_named_once() {
    let problem = |detail: &str, errors: Value| -> Problem {
        serde_json::from_value(serde_json::json!({"detail": detail, "errors": errors}))
            .expect("a problem")
    };
    let status = StatusCode::BAD_REQUEST;
    let one = serde_json::json!([{"pointer": "/ttlSeconds", "detail": "must be at least 1"}]);
    let text = "/ttlSeconds: must be at least 1";
    assert_eq!(message(status, &problem(text, one.clone())), text);
    assert_eq!(message(status, &problem("not valid", one)), format!("not valid; {text}"));
    let body = serde_json::json!([{"pointer": "", "detail": "must be an object"}]);
    let text = "the body: must be an object";
    assert_eq!(message(status, &problem(text, body)), text);
    let header = serde_json::json!([{"header": "Last-Event-ID", "detail": "must be an id"}]);
    let text = "Last-Event-ID: must be an id";
    assert_eq!(message(status, &problem(text, header)), text);
}
