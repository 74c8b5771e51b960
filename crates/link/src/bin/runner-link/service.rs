//! The WebSocket to the service, which is opened again whenever it is lost.

use std::{sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use link::frame::{ATTEMPT_HEADER, FromRunner, TASK_HEADER, ToRunner};
use ssm::client::{OpenError, WebSocket, upgrade};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{
    liveness::{Due, Liveness},
    log,
    token::Token,
};

/// Time limit for connecting, TLS and the upgrade.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The limits of the random pause before a connection is opened again.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// The longest pause after the service has refused the token or the task: it may not know the task yet.
const BACKOFF_REFUSED: Duration = Duration::from_secs(60);
/// Time limit for sending a frame: a connection that takes no more bytes for so long is lost.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// API Gateway takes messages of 128 KiB in frames of 32 KiB.
const FRAME_BYTES: usize = 32 << 10;

/// What the service says, and what becomes of the connection to it.
pub(crate) enum FromService {
    Connected,
    Frame(ToRunner),
    Lost,
}

pub(crate) struct Service {
    token: Arc<Token>,
    frames: mpsc::UnboundedSender<FromRunner>,
    said: mpsc::UnboundedReceiver<FromService>,
}

struct Link {
    url: String,
    task: String,
    token: Arc<Token>,
    frames: mpsc::UnboundedReceiver<FromRunner>,
    tell: mpsc::UnboundedSender<FromService>,
}

impl Service {
    pub(crate) fn open(url: String, task: String, token: Token) -> Self {
        let token = Arc::new(token);
        let (frames, to_send) = mpsc::unbounded_channel();
        let (tell, said) = mpsc::unbounded_channel();
        let link = Link { url, task, token: token.clone(), frames: to_send, tell };
        tokio::spawn(link.keep_open());
        Self { token, frames, said }
    }

    /// Sends a frame, unless the connection is lost.
    pub(crate) fn send(&self, frame: FromRunner) {
        // The task at the other end runs as long as this process.
        let _ = self.frames.send(frame);
    }

    pub(crate) fn use_token(&self, token: &str) {
        // Otherwise the next connection uses the earlier token, which the service accepts too.
        let _ = self.token.replace(token);
    }

    pub(crate) async fn next(&mut self) -> FromService {
        match self.said.recv().await {
            Some(said) => said,
            None => std::future::pending().await,
        }
    }
}

impl Link {
    async fn keep_open(mut self) {
        let mut failures = 0_u32;
        loop {
            let attempt = self.token.next_attempt();
            let (what, pause) = match timeout(CONNECT_TIMEOUT, self.connect(attempt)).await {
                Ok(Ok(socket)) => {
                    log(&format!("connected (attempt {attempt})"));
                    failures = 0;
                    // Frames of an earlier connection are sent again where that is needed.
                    while self.frames.try_recv().is_ok() {}
                    if self.tell.send(FromService::Connected).is_err() {
                        return;
                    }
                    let begun = Instant::now();
                    let why = self.serve(socket).await;
                    if self.tell.send(FromService::Lost).is_err() {
                        return;
                    }
                    let age = begun.elapsed().as_secs();
                    (
                        format!("the connection has ended after {age} s: {why}"),
                        backoff(1, BACKOFF_MAX),
                    )
                }
                Ok(Err(error)) => {
                    failures += 1;
                    let refused = matches!(error, OpenError::Refused(401 | 403));
                    let longest = if refused { BACKOFF_REFUSED } else { BACKOFF_MAX };
                    (
                        format!("attempt {attempt} failed: {}", chain(&error)),
                        backoff(failures, longest),
                    )
                }
                Err(_) => {
                    failures += 1;
                    (format!("attempt {attempt} timed out"), backoff(failures, BACKOFF_MAX))
                }
            };
            log(&format!("{what}; the next attempt follows in {} ms", pause.as_millis()));
            sleep(pause).await;
        }
    }

    async fn connect(&self, attempt: u64) -> Result<WebSocket, OpenError> {
        let token = self.token.read().map_err(|error| OpenError::Backend(error.into()))?;
        let headers = [
            ("authorization".to_owned(), format!("Bearer {token}")),
            (TASK_HEADER.to_owned(), self.task.clone()),
            (ATTEMPT_HEADER.to_owned(), attempt.to_string()),
        ];
        upgrade(&self.url, &headers).await
    }

    /// Returns why the connection has ended: it is lost, or as old as it may become.
    async fn serve(&mut self, mut socket: WebSocket) -> &'static str {
        let begun = Instant::now();
        let mut liveness = Liveness::new();
        loop {
            let sent = tokio::select! {
                frame = self.frames.recv() => {
                    let Some(frame) = frame else { return "the program ends" };
                    let has_answer = !matches!(frame, FromRunner::Done { .. });
                    liveness.sent(has_answer, begun.elapsed());
                    timeout(SEND_TIMEOUT, send(&mut socket, &frame)).await
                }
                message = socket.next() => {
                    liveness.heard(matches!(message, Some(Ok(Message::Text(_)))), begun.elapsed());
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            // A frame of a later version of the service means nothing here.
                            if let Ok(frame) = serde_json::from_str(&text) {
                                let _ = self.tell.send(FromService::Frame(frame));
                            }
                        }
                        Some(Ok(Message::Close(_))) => return "the service has closed it",
                        Some(Err(_)) | None => return "it broke off",
                        Some(Ok(_)) => {}
                    }
                    Ok(Ok(()))
                }
                () = sleep_until(begun + liveness.next()) => match liveness.due(begun.elapsed()) {
                    Some(Due::TooOld) => {
                        // The other side need not answer.
                        let _closed = timeout(BACKOFF_MAX, socket.close(None)).await;
                        return "it is as old as it may become";
                    }
                    Some(Due::Lost(why)) => return why,
                    Some(Due::Ping) => {
                        timeout(SEND_TIMEOUT, socket.send(Message::Ping(Vec::new().into()))).await
                    }
                    None => Ok(Ok(())),
                },
            };
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return "it broke off while a message was sent",
                Err(_) => return "it takes no more bytes",
            }
        }
    }
}

/// The error and its causes. None of them has a header of the request.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

async fn send(socket: &mut WebSocket, frame: &FromRunner) -> Result<(), tungstenite::Error> {
    use tungstenite::protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    };
    let text = serde_json::to_string(frame).expect("frames can be serialized");
    let mut pieces = text.as_bytes().chunks(FRAME_BYTES).peekable();
    let mut kind = OpCode::Data(Data::Text);
    while let Some(piece) = pieces.next() {
        let is_last = pieces.peek().is_none();
        let frame = Frame::message(piece.to_vec(), kind, is_last);
        socket.send(Message::Frame(frame)).await?;
        kind = OpCode::Data(Data::Continue);
    }
    Ok(())
}

/// A random pause, so that not all tasks come back at once: up to twice as long after each failure.
fn backoff(failures: u32, longest: Duration) -> Duration {
    let most = BACKOFF_MIN.saturating_mul(1 << failures.min(16)).min(longest);
    BACKOFF_MIN + most.mul_f64(fastrand::f64())
}
