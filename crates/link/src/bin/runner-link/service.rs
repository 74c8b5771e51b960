//! The WebSocket to the service, which is opened again whenever it is lost.

use std::{sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use link::frame::{FromRunner, TASK_HEADER, ToRunner};
use ssm::client::{OpenError, WebSocket, upgrade};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use crate::token::Token;

/// Time limit for connecting, TLS and the upgrade.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The limits of the random pause before a connection is opened again.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// The longest pause after the service has refused the token or the task: it may not know the task yet.
const BACKOFF_REFUSED: Duration = Duration::from_secs(60);
/// Shorter than the 10 minutes after which API Gateway ends an idle connection, and than the 350 s after which
/// a NAT gateway forgets it.
const PING_AFTER: Duration = Duration::from_mins(4);
/// A connection is lost if nothing comes for so long after a message that has an answer, as all have.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// API Gateway ends a connection after two hours.
const MAX_AGE: Duration = Duration::from_mins(110);
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
            match timeout(CONNECT_TIMEOUT, self.connect()).await {
                Ok(Ok(socket)) => {
                    failures = 0;
                    // Frames of an earlier connection are sent again where that is needed.
                    while self.frames.try_recv().is_ok() {}
                    if self.tell.send(FromService::Connected).is_err() {
                        return;
                    }
                    self.serve(socket).await;
                    if self.tell.send(FromService::Lost).is_err() {
                        return;
                    }
                    sleep(backoff(1, BACKOFF_MAX)).await;
                }
                Ok(Err(error)) => {
                    failures += 1;
                    let refused = matches!(error, OpenError::Refused(401 | 403));
                    let longest = if refused { BACKOFF_REFUSED } else { BACKOFF_MAX };
                    sleep(backoff(failures, longest)).await;
                }
                Err(_) => {
                    failures += 1;
                    sleep(backoff(failures, BACKOFF_MAX)).await;
                }
            }
        }
    }

    async fn connect(&self) -> Result<WebSocket, OpenError> {
        let token = self.token.read().map_err(|error| OpenError::Backend(error.into()))?;
        let headers = [
            ("authorization".to_owned(), format!("Bearer {token}")),
            (TASK_HEADER.to_owned(), self.task.clone()),
        ];
        upgrade(&self.url, &headers).await
    }

    /// Returns when the connection is lost, or as old as it may become.
    async fn serve(&mut self, mut socket: WebSocket) {
        let end_at = Instant::now() + MAX_AGE;
        let mut ping_at = Instant::now() + PING_AFTER;
        let mut answer_by: Option<Instant> = None;
        loop {
            let next = end_at.min(ping_at).min(answer_by.unwrap_or(end_at));
            let sent = tokio::select! {
                frame = self.frames.recv() => {
                    let Some(frame) = frame else { return };
                    answer_by.get_or_insert(Instant::now() + ANSWER_TIMEOUT);
                    send(&mut socket, &frame).await
                }
                message = socket.next() => {
                    answer_by = None;
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            // A frame of a later version of the service means nothing here.
                            if let Ok(frame) = serde_json::from_str(&text) {
                                let _ = self.tell.send(FromService::Frame(frame));
                            }
                            Ok(())
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                        Some(Ok(_)) => Ok(()),
                    }
                }
                () = sleep_until(next) => {
                    let now = Instant::now();
                    if now >= end_at {
                        // The other side need not answer.
                        let _closed = timeout(BACKOFF_MAX, socket.close(None)).await;
                        return;
                    }
                    if answer_by.is_some_and(|at| now >= at) {
                        return;
                    }
                    ping_at = now + PING_AFTER;
                    answer_by.get_or_insert(now + ANSWER_TIMEOUT);
                    socket.send(Message::Ping(Vec::new().into())).await
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

async fn send(
    socket: &mut WebSocket,
    frame: &FromRunner,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    use tokio_tungstenite::tungstenite::protocol::frame::{
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
