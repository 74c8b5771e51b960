//! Prints a job's output while it comes, from the server's stream; pages what a stream left out.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, de::DeserializeOwned};
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
#[serde(rename_all = "camelCase")]
struct Piece {
    stream: String,
    text: String,
    encoding: String,
    next_offset: u64,
}

impl<'a> Follower<'a> {
    pub(crate) const fn new(client: &'a Client, screen: Screen, job: &'a str) -> Self {
        Self { client, screen, job, offsets: [0, 0] }
    }

    /// Prints until the job is over and gives its last state.
    pub(crate) async fn until_end(&mut self) -> Result<Value, Failure> {
        loop {
            match self.stream().await {
                Ok(Some(job)) => return Ok(job),
                // Not every place can hold a stream open, and one may break off: page instead.
                Ok(None) => {}
                Err(failure) if failure.exit() == Exit::Other => {}
                Err(failure) => return Err(failure),
            }
            let job = self.client.get(&format!("/jobs/{}?waitSeconds=1", self.job)).await?;
            self.pages().await?;
            if read::<Job>(&job)?.is_over() {
                return Ok(job);
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

    /// Prints what the server's stream brings; the job, if it came to its end.
    async fn stream(&mut self) -> Result<Option<Value>, Failure> {
        let last = format!("{}.{}", self.offsets[0], self.offsets[1]);
        let mut answer = self.client.events(&format!("/jobs/{}/stream", self.job), &last).await?;
        let mut events = sse::Decoder::default();
        while let Ok(Some(bytes)) = answer.chunk().await {
            events.feed(&bytes);
            while let Some(event) = events.next() {
                match event.name.as_str() {
                    "output" => self.piece(&parse(&event.data)?)?,
                    "end" => return parse(&event.data).map(Some),
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    fn piece(&mut self, piece: &Piece) -> Result<(), Failure> {
        let Some(stream) = Stream::BOTH.into_iter().find(|one| one.name() == piece.stream) else {
            return Ok(());
        };
        self.screen.bytes(stream, &decode(&piece.text, &piece.encoding)?)?;
        self.offsets[stream as usize] = piece.next_offset;
        Ok(())
    }
}

fn parse<T: DeserializeOwned>(data: &str) -> Result<T, Failure> {
    serde_json::from_str(data)
        .map_err(|error| Failure::chain("the server's stream is not understood", &error))
}

/// The bytes that a text stands for.
fn decode(text: &str, encoding: &str) -> Result<Vec<u8>, Failure> {
    if encoding == "base64" {
        BASE64_STANDARD
            .decode(text)
            .map_err(|error| Failure::chain("the server's output is not understood", &error))
    } else {
        Ok(text.as_bytes().to_owned())
    }
}
