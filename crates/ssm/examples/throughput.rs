//! Transfers bytes between a client and a server over a WebSocket on loopback, and prints MB/s per direction and chunk size.
//!
//! `cargo run --release -p ssm --example throughput [MEGABYTES]`

#![expect(clippy::print_stdout, reason = "the example prints its results")]

use std::time::{Duration, Instant};

use ssm::{CloseReason, client, server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const MEGABYTE: usize = 1_000_000;
/// The size of one read or write in bytes.
const PIECE: usize = 64 << 10;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let megabytes = std::env::args().nth(1).map_or(Ok(100), |number| number.parse())?;
    let bytes = megabytes * MEGABYTE;
    for chunk in [1024, 64 << 10] {
        for (direction, taken) in
            [("output", output(bytes, chunk).await?), ("input", input(bytes, chunk).await?)]
        {
            let rate = bytes as f64 / MEGABYTE as f64 / taken.as_secs_f64();
            println!(
                r#"{{"direction":"{direction}","chunk":{chunk},"megabytes":{megabytes},"megabytesPerSecond":{rate:.1}}}"#
            );
        }
    }
    Ok(())
}

/// Server to client.
async fn output(bytes: usize, chunk: usize) -> Result<Duration, BoxError> {
    let (mut channel, _input, mut output) = connect(chunk).await?;
    let start = Instant::now();
    let writer = tokio::spawn(async move {
        let piece = vec![b'x'; PIECE];
        let mut left = bytes;
        while left > 0 {
            let length = left.min(PIECE);
            output.write_all(&piece[..length]).await?;
            left -= length;
        }
        Ok::<_, std::io::Error>(())
    });
    let mut buffer = vec![0; PIECE];
    let mut seen = 0;
    loop {
        match channel.read(&mut buffer).await? {
            0 => break,
            length => seen += length,
        }
    }
    let taken = start.elapsed();
    writer.await??;
    if seen != bytes {
        return Err(format!("{seen} of {bytes} bytes arrived").into());
    }
    Ok(taken)
}

/// Client to server.
async fn input(bytes: usize, chunk: usize) -> Result<Duration, BoxError> {
    let (mut channel, mut input, _output) = connect(chunk).await?;
    let start = Instant::now();
    let writer = tokio::spawn(async move {
        let piece = vec![b'x'; PIECE];
        let mut left = bytes;
        while left > 0 {
            let length = left.min(PIECE);
            channel.write_all(&piece[..length]).await?;
            left -= length;
        }
        Ok::<_, std::io::Error>(channel)
    });
    let mut seen = 0;
    while seen < bytes {
        match input.next().await {
            Some(server::Event::Bytes(bytes)) => seen += bytes.len(),
            Some(server::Event::Size { .. }) => {}
            Some(server::Event::Closed(_)) | None => return Err("the channel is closed".into()),
        }
    }
    let taken = start.elapsed();
    match writer.await??.close().await {
        CloseReason::Dropped => Ok(taken),
        other @ (CloseReason::Ended { .. } | CloseReason::Lost(_)) => {
            Err(format!("unexpected close reason: {other:?}").into())
        }
    }
}

async fn connect(
    chunk: usize,
) -> Result<(client::Channel, server::Input, server::Output), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/v1/data-channel/s", listener.local_addr()?);
    let options = server::Options { chunk, ..server::Options::default() };
    let (session, input, output) = server::session("s", options);
    let accept = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        server::accept(stream, |_| Some(session)).await.map_err(BoxError::from)
    });
    let options = client::Options { chunk, ..client::Options::default() };
    let channel = client::open_with(options, &url, "token", &[]).await?;
    accept.await??;
    Ok((channel, input, output))
}
