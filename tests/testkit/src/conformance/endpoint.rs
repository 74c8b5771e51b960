//! A small HTTP endpoint on the loopback that keeps its requests and sends the responses a test sets.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;

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

/// An endpoint that listens until the process ends.
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
    /// Listens on a free port. Responds with `200 OK` unless the test has set other responses.
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
                // A caller may close its connection early.
                let _ = server.serve(&stream);
            }
        });
        endpoint
    }

    /// The URL that the endpoint serves.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds the response to a later request: status and headers, such as `410 Gone\r\nX: y`.
    pub fn answer(&self, head: &str) {
        self.state.lock().answers.push_back(head.to_owned());
    }

    /// All requests, in order.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().received.clone()
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
            let mut state = self.state.lock();
            state.received.push(received);
            state.answers.pop_front().unwrap_or_else(|| "200 OK".into())
        };
        write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }
}
