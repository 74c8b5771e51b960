//! The Lambda Runtime API: invocations, and the endpoint for their responses
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;
use serde_json::Value;

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The Runtime API for one function.
#[derive(Debug)]
pub(super) struct RuntimeApi {
    address: SocketAddr,
    work: Sender<String>,
    responses: Receiver<FunctionResponse>,
    /// The function waits for an invocation.
    waits: bool,
}

/// A response of the function and its time.
#[derive(Debug)]
enum FunctionResponse {
    Asked(Instant),
    Answered(Instant, Vec<u8>),
    Failed(Vec<u8>),
}

impl RuntimeApi {
    pub(super) fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let ((work, given), (respond, responses)) = (channel(), channel());
        let given = Arc::new(Mutex::new(given));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (given, respond) = (given.clone(), respond.clone());
                // An error means that the function has ended, which its exit status reports.
                thread::spawn(move || serve(&stream, &given, &respond));
            }
        });
        Ok(Self { address, work, responses, waits: false })
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits until the function requests an invocation, and returns the time of the request.
    pub(super) fn asked(&mut self) -> Result<Instant> {
        match self.hear()? {
            FunctionResponse::Asked(at) => {
                self.waits = true;
                Ok(at)
            }
            FunctionResponse::Answered(..) => bail!("an answer to nothing"),
            FunctionResponse::Failed(error) => {
                bail!("it failed: {}", String::from_utf8_lossy(&error))
            }
        }
    }

    /// Invokes the function; returns its response and the duration.
    pub(super) fn invoke(&mut self, event: &Value) -> Result<(Value, Duration)> {
        if !self.waits {
            self.asked()?;
        }
        self.waits = false;
        let begun = Instant::now();
        self.work.send(event.to_string()).context("the Runtime API thread has ended")?;
        match self.hear()? {
            FunctionResponse::Answered(at, answer) => {
                Ok((serde_json::from_slice(&answer)?, at - begun))
            }
            FunctionResponse::Asked(_) => bail!("it asks for more before it has answered"),
            FunctionResponse::Failed(error) => {
                bail!("it failed: {}", String::from_utf8_lossy(&error))
            }
        }
    }

    fn hear(&self) -> Result<FunctionResponse> {
        self.responses.recv_timeout(RESPONSE_TIMEOUT).context("the function does not respond")
    }
}

/// One connection of the function.
fn serve(
    stream: &TcpStream,
    work: &Mutex<Receiver<String>>,
    respond: &Sender<FunctionResponse>,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some((line, body)) = request(&mut reader)? {
        let path = line.split(' ').nth(1).unwrap_or_default();
        if path.ends_with("/invocation/next") {
            respond.send(FunctionResponse::Asked(Instant::now()))?;
            let event = work.lock().recv()?;
            give(stream, &event)?;
        } else {
            let at = Instant::now();
            let answered = path.ends_with("/response");
            respond.send(if answered {
                FunctionResponse::Answered(at, body)
            } else {
                FunctionResponse::Failed(body)
            })?;
            reply(stream, "202 Accepted", "", "{\"status\":\"OK\"}")?;
        }
    }
    Ok(())
}

fn give(stream: &TcpStream, event: &str) -> Result<()> {
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + RESPONSE_TIMEOUT;
    let headers = format!(
        "lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
         lambda-runtime-deadline-ms: {}\r\n\
         lambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:000000000000:function:api\r\n",
        deadline.as_millis()
    );
    reply(stream, "200 OK", &headers, event)
}

fn reply(mut stream: &TcpStream, status: &str, headers: &str, body: &str) -> Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-type: application/json\r\n");
    let all = format!("{head}content-length: {length}\r\n\r\n{body}");
    Ok(stream.write_all(all.as_bytes())?)
}

/// Reads the request line and the body of a request; none if the connection was closed.
fn request(reader: &mut BufReader<&TcpStream>) -> Result<Option<(String, Vec<u8>)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the function closed the connection");
        let Some((name, value)) = line.split_once(':') else { break };
        ensure!(!name.eq_ignore_ascii_case("transfer-encoding"), "a body of unknown length");
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((first, body)))
}
