//! A server with scripted responses, and the binary under test.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

/// Responds to a request with the first entry whose text the request line starts with, else with 501.
pub(crate) struct ScriptedServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

/// The exit code and output of a run of the binary.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

type Script = Vec<(String, u16, Value)>;

/// The binary, without the variables of our environment that it reads.
pub(crate) fn ephemeral(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ephemeral"));
    command.args(args);
    for name in ["EPHEMERAL_URL", "EPHEMERAL_TOKEN", "EPHEMERAL_DATA_DIR"] {
        command.env_remove(name);
    }
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

impl ScriptedServer {
    pub(crate) fn new<const N: usize>(script: [(&str, u16, Value); N]) -> Self {
        let script: Script = script
            .into_iter()
            .map(|(path, status, body)| (path.to_owned(), status, body))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        // The thread ends with the process of the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                respond(stream, &script, &log);
            }
        });
        Self { address, requests }
    }

    /// An address on which nothing listens.
    pub(crate) fn gone() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        Self { address, requests: Arc::default() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = ephemeral(args);
        command.env("EPHEMERAL_URL", self.url()).env("EPHEMERAL_TOKEN", "secret");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        let output = self.command(args).output().expect("it runs");
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The number of requests.
    pub(crate) fn count(&self) -> usize {
        self.requests.lock().expect("not poisoned").len()
    }

    /// The body of the first request to this method and path.
    pub(crate) fn sent(&self, to: &str) -> Value {
        let requests = self.requests.lock().expect("not poisoned");
        let (_, body) =
            requests.iter().find(|(line, _)| line.starts_with(to)).expect("it was sent");
        serde_json::from_str(body).expect("JSON")
    }
}

fn respond(stream: TcpStream, script: &Script, requests: &Mutex<Vec<(String, String)>>) {
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
    let (status, response) = script
        .iter()
        .find(|(path, ..)| line.starts_with(path.as_str()))
        .map_or((501, json!({})), |(_, status, body)| (*status, body.clone()));
    let body = String::from_utf8_lossy(&body).into_owned();
    requests.lock().expect("not poisoned").push((line, body));
    // A string is sent as a body that is not JSON.
    let response = response.as_str().map_or_else(|| response.to_string(), str::to_owned);
    let length = response.len();
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    // The client may have closed the connection.
    let _ = (&stream).write_all(format!("{head}{response}").as_bytes());
}
