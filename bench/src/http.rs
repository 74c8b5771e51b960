//! A minimal HTTP client for measurements: one open connection, one request at a time.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A connection to the API.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
    token: String,
    /// A response was not read to its end, so that the next request needs a new connection.
    broken: bool,
}

/// The size of the pieces of a file.
const PIECE: usize = 256 << 10;
/// Between two requests while the server has too many of this user at once.
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

impl Connection {
    pub(crate) fn open(address: SocketAddr, token: &str) -> Result<Self> {
        let stream = Self::connect(address)?;
        Ok(Self { stream, address, token: token.to_owned(), broken: false })
    }

    fn connect(address: SocketAddr) -> Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(BufReader::new(stream))
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Value> {
        self.exchange("GET", path, "")
    }

    /// Requests a response and leaves it unread but for its status.
    pub(crate) fn status_of(&mut self, path: &str) -> Result<u16> {
        Ok(self.exchange_once("GET", path, "")?.0)
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.exchange("POST", path, &body.to_string())
    }

    /// Sends a request again as long as the server has too many of this user at once.
    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Result<Value> {
        loop {
            let (status, answer) = self.exchange_once(method, path, body)?;
            match status {
                200..300 => return Ok(serde_json::from_slice(&answer)?),
                429 => std::thread::sleep(BUSY_PAUSE),
                _ => bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&answer)),
            }
        }
    }

    /// Sends a file of zeros.
    pub(crate) fn upload(&mut self, path: &str, bytes: u64) -> Result<()> {
        self.request("PUT", path, bytes, "")?;
        let piece = vec![0; PIECE];
        let mut left = usize::try_from(bytes)?;
        while left > 0 {
            let count = piece.len().min(left);
            self.stream.get_mut().write_all(&piece[..count])?;
            left -= count;
        }
        let (status, length) = self.head()?;
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        self.broken = false;
        ensure!(matches!(status, 200 | 201), "{status} {}", String::from_utf8_lossy(&answer));
        Ok(())
    }

    /// Receives a file, and returns its size.
    pub(crate) fn download(&mut self, path: &str) -> Result<usize> {
        self.request("GET", path, 0, "")?;
        let (status, length) = self.head()?;
        ensure!(status == 200, "GET {path}: {status}");
        let mut piece = vec![0; PIECE];
        let mut left = length;
        while left > 0 {
            let count = piece.len().min(left);
            // Larger reads than its buffer go past the buffer.
            let count = self.stream.read(&mut piece[..count])?;
            ensure!(count > 0, "the file is cut");
            left -= count;
        }
        self.broken = false;
        Ok(length)
    }

    fn exchange_once(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>)> {
        self.request(method, path, body.len() as u64, body)?;
        let (status, length) = self.head()?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        self.broken = false;
        Ok((status, body))
    }

    /// Sends the header of a request whose body has so many bytes, and the beginning of that body.
    fn request(&mut self, method: &str, path: &str, length: u64, body: &str) -> Result<()> {
        let token = &self.token;
        let request = format!(
            "{method} /v1{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        if std::mem::replace(&mut self.broken, true) {
            self.stream = Self::connect(self.address)?;
        }
        Ok(self.stream.get_mut().write_all(request.as_bytes())?)
    }

    fn head(&mut self) -> Result<(u16, usize)> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).context("the server closed the connection")?.parse()?;
        let mut length = None;
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the server closed the connection");
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse()?);
            }
        }
        Ok((status, length.context("an answer without a length")?))
    }
}
