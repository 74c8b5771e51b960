//! Prints a job's output while it comes, from the server's stream; pages what a stream left out.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    client::{Client, read},
    failure::{Exit, Failure},
    screen::{Screen, Stream},
    sse,
    view::{Job, Output},
};

/// Bytes asked for at once.
const PAGE: u64 = 65_536;

/// How far a job's output was printed.
pub(crate) struct Follower<'a> {
    client: &'a Client,
    screen: Screen,
    job: &'a str,
    offsets: [u64; 2],
}

/// An `output` event of the stream.
#[derive(Deserialize)]
struct Piece {
    stream: String,
    offset: u64,
    text: String,
    encoding: String,
}

impl<'a> Follower<'a> {
    pub(crate) const fn new(client: &'a Client, screen: Screen, job: &'a str) -> Self {
        Self { client, screen, job, offsets: [0, 0] }
    }

    /// Prints until the job is over and gives its last state.
    pub(crate) async fn to_the_end(&mut self) -> Result<Value, Failure> {
        loop {
            // Not every place can hold a stream open; there, the pages come as they fill.
            let streamed = self.stream().await;
            let wait = if streamed.is_ok() { 0 } else { 1 };
            if let Err(failure) = streamed
                && failure.exit() != Exit::Other
            {
                return Err(failure);
            }
            let value = self.client.get(&format!("/jobs/{}?waitSeconds={wait}", self.job)).await?;
            self.pages().await?;
            if read::<Job>(&value)?.is_over() {
                return Ok(value);
            }
        }
    }

    /// Prints all that is there and not yet printed.
    pub(crate) async fn pages(&mut self) -> Result<(), Failure> {
        for stream in Stream::BOTH {
            while self.page(stream).await? {}
        }
        Ok(())
    }

    async fn page(&mut self, stream: Stream) -> Result<bool, Failure> {
        let (job, name) = (self.job, stream.name());
        let offset = self.offsets[stream as usize];
        let path = format!("/jobs/{job}/output?stream={name}&offset={offset}&limit={PAGE}");
        let output: Output = read(&self.client.get(&path).await?)?;
        self.screen.bytes(stream, &decode(&output.text, &output.encoding)?)?;
        self.offsets[stream as usize] = output.next_offset;
        Ok(output.next_offset > offset)
    }

    async fn stream(&mut self) -> Result<(), Failure> {
        let mut answer = self.client.events(&format!("/jobs/{}/stream", self.job), "").await?;
        let mut events = sse::Decoder::default();
        // A stream that breaks off is no failure: the pages tell what it kept to itself.
        while let Ok(Some(bytes)) = answer.chunk().await {
            events.feed(&bytes);
            while let Some(event) = events.next() {
                match event.name.as_str() {
                    "output" => self.piece(&event.data)?,
                    "end" => return Ok(()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Prints what is new in a piece; after a gap nothing, the pages fill it.
    fn piece(&mut self, data: &str) -> Result<(), Failure> {
        let piece: Piece = serde_json::from_str(data)
            .map_err(|error| Failure::chain("the server's stream is not understood", &error))?;
        let Some(stream) = Stream::BOTH.into_iter().find(|one| one.name() == piece.stream) else {
            return Ok(());
        };
        let bytes = decode(&piece.text, &piece.encoding)?;
        let done = self.offsets[stream as usize];
        let new = usize::try_from(done.saturating_sub(piece.offset)).unwrap_or(usize::MAX);
        if piece.offset > done || new >= bytes.len() {
            return Ok(());
        }
        self.screen.bytes(stream, &bytes[new..])?;
        self.offsets[stream as usize] = piece.offset + bytes.len() as u64;
        Ok(())
    }
}

/// The bytes that a text stands for.
pub(crate) fn decode(text: &str, encoding: &str) -> Result<Vec<u8>, Failure> {
    if encoding == "base64" {
        BASE64_STANDARD
            .decode(text)
            .map_err(|error| Failure::chain("the server's output is not understood", &error))
    } else {
        Ok(text.as_bytes().to_owned())
    }
}
