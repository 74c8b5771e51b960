//! A server with one job, which ends when a test or a request makes it end.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};

use crate::scripted_server::ephemeral;

/// The job of a server, and what ends it.
#[derive(Clone, Default)]
pub(crate) struct FakeJob {
    /// Standard output before the job ends.
    pub(crate) output: &'static str,
    /// Send `output` again and again until the job ends.
    pub(crate) endless: bool,
    /// Standard output that follows `output` when the job ends.
    pub(crate) last_output: &'static str,
    /// The fields of the job after its end, by the request that ends it: `signal`, `cancel` or, for
    /// [`FakeServer::end`], `end`. A request with null is accepted without an effect.
    pub(crate) ends: HashMap<&'static str, Value>,
    /// The server is unavailable for the first request whose line starts with this.
    pub(crate) unavailable: Option<&'static str>,
}

/// A server that can be stopped and started again on the same port.
pub(crate) struct FakeServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    job: FakeJob,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<String>,
    bodies: Vec<String>,
    connections: Vec<TcpStream>,
    stopping: bool,
    end: Option<Value>,
}

impl FakeJob {
    /// A job that prints `output` and ends on these requests with these fields.
    pub(crate) fn new<const N: usize>(
        output: &'static str,
        ends: [(&'static str, Value); N],
    ) -> Self {
        Self { output, ends: ends.into(), ..Self::default() }
    }
}

impl FakeServer {
    pub(crate) fn new(job: FakeJob) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Shared { job, state: Mutex::default(), changed: Condvar::new() };
        let mut server = Self { address, shared: Arc::new(shared), accepting: None };
        server.accept(listener);
        server
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = ephemeral(args);
        command
            .env("EPHEMERAL_URL", format!("http://{}", self.address))
            .env("EPHEMERAL_TOKEN", "secret");
        command
    }

    /// Ends the job.
    pub(crate) fn end(&self) {
        self.shared.end("end");
    }

    /// Closes the port and all connections.
    pub(crate) fn stop(&mut self) {
        self.shared.state.lock().expect("not poisoned").stopping = true;
        // This connection wakes up the thread that accepts connections, unless a client has done so.
        let _ = TcpStream::connect(self.address);
        self.accepting.take().expect("it is running").join().expect("it does not panic");
        let mut state = self.shared.state.lock().expect("not poisoned");
        for connection in state.connections.drain(..) {
            // The client may have closed the connection.
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    /// Opens the port again.
    pub(crate) fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).expect("the port is free");
        self.shared.state.lock().expect("not poisoned").stopping = false;
        self.accept(listener);
    }

    /// Waits until the server has received a request that starts with `line`.
    pub(crate) fn wait_for(&self, line: &str) {
        let state = self.shared.state.lock().expect("not poisoned");
        let received = |state: &mut State| !state.requests.iter().any(|r| r.starts_with(line));
        drop(self.shared.changed.wait_while(state, received).expect("not poisoned"));
    }

    /// The number of requests whose line starts with `line`.
    pub(crate) fn count(&self, line: &str) -> usize {
        let state = self.shared.state.lock().expect("not poisoned");
        state.requests.iter().filter(|request| request.starts_with(line)).count()
    }

    /// The body of the first request whose line starts with `line`.
    pub(crate) fn sent(&self, line: &str) -> Value {
        let state = self.shared.state.lock().expect("not poisoned");
        let index = state.requests.iter().position(|request| request.starts_with(line));
        serde_json::from_str(&state.bodies[index.expect("it was sent")]).expect("JSON")
    }

    fn accept(&mut self, listener: TcpListener) {
        let shared = self.shared.clone();
        self.accepting = Some(thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let mut state = shared.state.lock().expect("not poisoned");
                if state.stopping {
                    return;
                }
                state.connections.push(connection.try_clone().expect("a descriptor"));
                drop(state);
                let shared = shared.clone();
                // The client may close the connection at any time.
                thread::spawn(move || shared.respond(connection).ok());
            }
        }));
    }
}

impl Shared {
    fn end(&self, request: &str) {
        let mut state = self.state.lock().expect("not poisoned");
        let fields = self.job.ends.get(request).filter(|fields| !fields.is_null());
        if let Some(fields) = fields {
            state.end.get_or_insert_with(|| job(fields.clone()));
        }
        self.changed.notify_all();
    }

    fn respond(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let (line, body) = request(&connection)?;
        let matching = self.record(&line, body);
        let accepted = |job: &str| json!({"jobId": job, "sessionId": "sh_1", "type": "execute", "status": "queued"});
        let (status, response) = match line.split('?').next().unwrap_or_default() {
            _ if matching == 1 => (503, json!({"title": "Unavailable", "detail": "retry"})),
            "GET /v1/jobs/job_1/stream" => return self.stream(connection, &line),
            "POST /v1/shell/execute" | "POST /v1/shell/start" => (202, accepted("job_1")),
            "POST /v1/shell/stop" => (202, accepted("job_2")),
            "GET /v1/jobs/job_2" => (200, job(json!({"status": "completed"}))),
            "GET /v1/jobs/job_1" => (200, self.job(line.contains("waitSeconds=20"))),
            "GET /v1/jobs/job_1/output" => (200, self.page(&line)),
            "POST /v1/jobs/job_1/signal" => match self.job.ends.contains_key("signal") {
                true => (202, accepted("job_1")),
                false => (409, json!({"title": "Conflict", "detail": "the job is not running"})),
            },
            "POST /v1/jobs/job_1/cancel" => (202, accepted("job_1")),
            _ => (501, json!({})),
        };
        let body = response.to_string();
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        connection.write_all(format!("{head}{body}").as_bytes())?;
        if let Some(action) = line.strip_prefix("POST /v1/jobs/job_1/") {
            self.end(action);
        }
        Ok(())
    }

    /// Records a request. Returns how many requests have matched `unavailable`, if this one does, else 0.
    fn record(&self, line: &str, body: String) -> usize {
        let mut state = self.state.lock().expect("not poisoned");
        state.requests.push(line.to_owned());
        state.bodies.push(body);
        self.changed.notify_all();
        let Some(start) = self.job.unavailable else { return 0 };
        if !line.starts_with(start) {
            return 0;
        }
        state.requests.iter().filter(|request| request.starts_with(start)).count()
    }

    /// The job; after its end or when the server stops if `wait`.
    fn job(&self, wait: bool) -> Value {
        let mut state = self.state.lock().expect("not poisoned");
        if wait {
            let running = |state: &mut State| state.end.is_none() && !state.stopping;
            state = self.changed.wait_while(state, running).expect("not poisoned");
        }
        state.end.clone().unwrap_or_else(|| job(json!({"status": "running"})))
    }

    /// The output from the offset that the request names.
    fn page(&self, line: &str) -> Value {
        let parameter =
            |name: &str| line.split(['?', '&']).find_map(|pair| pair.strip_prefix(name));
        let offset = parameter("offset=").and_then(|offset| offset.parse().ok()).unwrap_or(0);
        let mut all = String::new();
        if parameter("stream=") == Some("stdout") {
            all.push_str(self.job.output);
            all.push_str(if self.is_final() { self.job.last_output } else { "" });
        }
        let text = all.get(offset..).unwrap_or_default();
        json!({
            "offset": offset, "text": text, "encoding": "utf-8", "nextOffset": offset + text.len(),
        })
    }

    fn stream(&self, mut connection: TcpStream, line: &str) -> std::io::Result<()> {
        connection.write_all(b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n")?;
        let mut sent: usize = line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut output = |text: &str| {
            let offset = sent;
            sent += text.len();
            let chunk = json!({
                "stream": "stdout", "offset": offset, "text": text, "encoding": "utf-8",
                "nextOffset": sent,
            });
            connection.write_all(format!("event: output\ndata: {chunk}\n\n").as_bytes())
        };
        if line.ends_with(" 0") {
            output(self.job.output)?;
        }
        while self.job.endless && !self.is_final() {
            output(self.job.output)?;
        }
        let end = self.job(true);
        if !self.is_final() {
            // The server stops: a stopped server reports no end.
            return Ok(());
        }
        output(self.job.last_output)?;
        connection.write_all(format!("event: end\ndata: {end}\n\n").as_bytes())
    }

    fn is_final(&self) -> bool {
        self.state.lock().expect("not poisoned").end.is_some()
    }
}

/// The method and path of a request, with the offset of stdout from which a stream starts, and its body.
fn request(connection: &TcpStream) -> std::io::Result<(String, String)> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        match header.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().expect("a number"),
            Some(("last-event-id", id)) => {
                line.push_str(&format!("? {}", id.split('.').next().unwrap_or_default()));
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((line, String::from_utf8_lossy(&body).into_owned()))
}

fn job(mut fields: Value) -> Value {
    fields["jobId"] = "job_1".into();
    fields["sessionId"] = "sh_1".into();
    fields["type"] = "execute".into();
    fields["createdAt"] = "2026-01-31T12:00:00.000Z".into();
    fields
}
