//! A small HTTP endpoint on the loopback that answers as it is told and keeps what it got.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use crate::gate::locked;

/// One request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Method and path.
    pub line: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// The value of this header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Listens until the process ends.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    received: Vec<Received>,
    answers: VecDeque<String>,
}

impl Endpoint {
    /// Begins to listen. Answers `200 OK` unless other answers are lined up.
    ///
    /// # Panics
    /// If the loopback can't be listened on.
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has free ports");
        let address = listener.local_addr().expect("it listens");
        let endpoint = Self { url: format!("http://{address}/hook"), state: Arc::default() };
        let server = endpoint.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A caller that hangs up in the middle is no matter for the endpoint.
                let _ = server.serve(&stream);
            }
        });
        endpoint
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lines up an answer: the status line and headers, such as `410 Gone\r\nX: y`.
    pub fn answer(&self, head: &str) {
        locked(&self.state).answers.push_back(head.to_owned());
    }

    /// All that arrived.
    pub fn received(&self) -> Vec<Received> {
        locked(&self.state).received.clone()
    }

    fn serve(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut received = Received { line: line.trim_end().to_owned(), headers, body: Vec::new() };
        let length = received.header("content-length").and_then(|text| text.parse().ok());
        received.body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut received.body)?;
        let answer = {
            let mut state = locked(&self.state);
            state.received.push(received);
            state.answers.pop_front().unwrap_or_else(|| "200 OK".into())
        };
        write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }
}
