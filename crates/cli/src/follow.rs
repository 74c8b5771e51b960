//! Follows the output of a job: from the server's event stream, and by paging where a stream is not
//! available or was interrupted.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    client::{Client, read},
    error::CliError,
    sse,
    terminal::{Stream, Terminal},
    view::{Job, Output, StreamSize, left_out},
};

/// Bytes requested per page.
const PAGE: u64 = 65_536;

/// The offsets up to which the output of a job was printed.
pub(crate) struct Follower<'a> {
    client: &'a Client,
    terminal: Terminal,
    job: &'a str,
    offsets: [u64; 2],
    /// Whether what was printed of each stream ends within a line.
    within_line: [bool; 2],
    /// The sizes that the last page of each stream reported.
    sizes: [StreamSize; 2],
}

/// An `output` event of the stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutputChunk {
    stream: String,
    offset: u64,
    text: String,
    encoding: String,
    next_offset: u64,
}

impl<'a> Follower<'a> {
    pub(crate) const fn new(client: &'a Client, terminal: Terminal, job: &'a str) -> Self {
        let (offsets, within_line, sizes) = ([0; 2], [false; 2], [StreamSize::NOTHING; 2]);
        Self { client, terminal, job, offsets, within_line, sizes }
    }

    /// Prints until the job is final, and returns the job. If the future is dropped, the next call
    /// continues where it stopped.
    pub(crate) async fn until_end(&mut self) -> Result<Value, CliError> {
        loop {
            match self.stream().await {
                Ok(Some(job)) => return Ok(job),
                Err(error) if error.is_output() => return Err(error),
                // AWS deployments have no streams, and a stream may be interrupted: page instead.
                Ok(None) | Err(_) => {}
            }
            let job = self.client.get(&format!("/jobs/{}?waitSeconds=1", self.job)).await?;
            self.pages().await?;
            if read::<Job>(&job)?.is_final() {
                return Ok(job);
            }
        }
    }

    /// Prints the stored output that has not been printed yet.
    pub(crate) async fn pages(&mut self) -> Result<(), CliError> {
        for stream in Stream::BOTH {
            while self.page(stream).await? {}
        }
        Ok(())
    }

    /// The remarks about output that the server did not keep, as far as pages were read.
    pub(crate) fn cuts(&self) -> Vec<String> {
        StreamSize::cuts(&self.sizes)
    }

    async fn page(&mut self, stream: Stream) -> Result<bool, CliError> {
        let (job, name) = (self.job, stream.name());
        let offset = self.offsets[stream as usize];
        let path = format!("/jobs/{job}/output?stream={name}&offset={offset}&limit={PAGE}");
        let output: Output = read(&self.client.get(&path).await?)?;
        self.sizes[stream as usize] = output.size;
        if output.next_offset == output.offset {
            return Ok(false);
        }
        let bytes = decode(&output.text, &output.encoding)?;
        self.print(stream, output.offset, &bytes)?;
        self.offsets[stream as usize] = output.next_offset;
        Ok(true)
    }

    /// Prints the output of the event stream. Returns the job if the stream reported its end.
    async fn stream(&mut self) -> Result<Option<Value>, CliError> {
        let last = format!("{}.{}", self.offsets[0], self.offsets[1]);
        let mut response = self.client.events(&format!("/jobs/{}/stream", self.job), &last).await?;
        let mut events = sse::Decoder::default();
        // An error means that the connection was lost, or that the server was silent for too long.
        while let Ok(Some(bytes)) = response.chunk().await {
            events.feed(&bytes);
            while let Some(event) = events.next() {
                match event.name.as_str() {
                    "output" => self.chunk(&parse(&event.data)?)?,
                    "end" => return parse(&event.data).map(Some),
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    fn chunk(&mut self, chunk: &OutputChunk) -> Result<(), CliError> {
        let Some(stream) = Stream::BOTH.into_iter().find(|stream| stream.name() == chunk.stream)
        else {
            return Ok(());
        };
        self.print(stream, chunk.offset, &decode(&chunk.text, &chunk.encoding)?)?;
        self.offsets[stream as usize] = chunk.next_offset;
        Ok(())
    }

    /// Prints output that begins at this offset, and before it how much was left out.
    fn print(&mut self, stream: Stream, offset: u64, bytes: &[u8]) -> Result<(), CliError> {
        let missing = offset.saturating_sub(self.offsets[stream as usize]);
        if missing > 0 {
            // The line stands alone where stdout or stderr and this message share a terminal.
            let begin = if self.within_line[stream as usize] { "\n" } else { "" };
            self.terminal.message(&format!("{begin}{}", left_out(missing)));
        }
        if let Some(last) = bytes.last() {
            self.within_line[stream as usize] = *last != b'\n';
        }
        self.terminal.bytes(stream, bytes)
    }
}

fn parse<T: DeserializeOwned>(data: &str) -> Result<T, CliError> {
    serde_json::from_str(data)
        .map_err(|error| CliError::chain("can't parse the event stream of the server", &error))
}

/// Decodes `text` of this encoding to bytes.
fn decode(text: &str, encoding: &str) -> Result<Vec<u8>, CliError> {
    if encoding == "base64" {
        BASE64_STANDARD
            .decode(text)
            .map_err(|error| CliError::chain("can't decode the output from the server", &error))
    } else {
        Ok(text.as_bytes().to_owned())
    }
}
