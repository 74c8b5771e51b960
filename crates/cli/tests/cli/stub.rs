//! A server of canned answers, and the binary under test.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

/// Answers a request by the first entry that its method and path begin with; else with 501.
pub(crate) struct Stub {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

/// What a run of the binary left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

type Canned = Vec<(String, u16, Value)>;

/// The binary, with nothing of our own environment that it would look at.
pub(crate) fn ephemeral(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ephemeral"));
    command.args(args);
    for name in ["EPHEMERAL_URL", "EPHEMERAL_TOKEN", "EPHEMERAL_DATA_DIR"] {
        command.env_remove(name);
    }
    command
}

impl Stub {
    pub(crate) fn new<const N: usize>(canned: [(&str, u16, Value); N]) -> Self {
        let canned: Canned = canned
            .into_iter()
            .map(|(path, status, body)| (path.to_owned(), status, body))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &canned, &log);
            }
        });
        Self { address, seen }
    }

    /// An address where nobody listens.
    pub(crate) fn gone() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        Self { address, seen: Arc::default() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = ephemeral(args);
        command.env("EPHEMERAL_URL", self.url()).env("EPHEMERAL_TOKEN", "secret");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let ran = self.command(args).output().expect("it runs");
        Ran {
            code: ran.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&ran.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&ran.stderr).into_owned(),
        }
    }

    /// The body of the first request to this method and path.
    pub(crate) fn sent(&self, to: &str) -> Value {
        let seen = self.seen.lock().expect("no panic holds it");
        let (_, body) = seen.iter().find(|(line, _)| line.starts_with(to)).expect("it was sent");
        serde_json::from_str(body).expect("JSON")
    }
}

fn answer(stream: TcpStream, canned: &Canned, seen: &Mutex<Vec<(String, String)>>) {
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(n) if n > 2 => head.push(line.trim().to_owned()),
            _ => break,
        }
    }
    let Some(first) = head.first() else { return };
    let line = first.trim_end_matches(" HTTP/1.1").to_owned();
    let length = head.iter().find_map(|header| {
        header.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let (status, answer) = canned
        .iter()
        .find(|(path, ..)| line.starts_with(path.as_str()))
        .map_or((501, json!({})), |(_, status, body)| (*status, body.clone()));
    let body = String::from_utf8_lossy(&body).into_owned();
    seen.lock().expect("no panic holds it").push((line, body));
    // A string is an answer that is not JSON.
    let answer = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
    let length = answer.len();
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    // Who hung up does not want the answer.
    let _ = (&stream).write_all(format!("{head}{answer}").as_bytes());
}
