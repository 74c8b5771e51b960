//! ECS Exec: commands in running tasks, and their data channels.

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use ssm::server::{Event, Input, Opening, Options, Output, Session};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    exec_in_sandbox,
    pty::Pty,
    random::{hex, random},
    sandbox_access,
    utf8_stream::Utf8Stream,
};

/// Bytes of output per message.
const CHUNK: usize = 1024;
/// Time to read the last output of a command if another process still has its terminal open.
const OUTPUT_DRAIN: Duration = Duration::from_millis(500);

/// The sessions that have not ended.
pub(crate) struct Sessions {
    exe: PathBuf,
    /// The origin of the stream URLs: `ws://` and the authority.
    origin: String,
    open: Mutex<HashMap<String, Waiting>>,
}

struct Waiting {
    /// The token that opens the channel; taken at its first use.
    token: Option<String>,
    session: Session,
}

/// What a client needs to open the channel.
pub(crate) struct Credentials {
    pub(crate) session_id: String,
    pub(crate) stream_url: String,
    pub(crate) token: String,
}

impl Sessions {
    pub(crate) fn new(exe: PathBuf, origin: String) -> Self {
        Self { exe, origin, open: Mutex::default() }
    }

    /// Runs a command as root on a terminal in the sandbox whose runner listens on this socket.
    pub(crate) async fn start(
        &self,
        socket: &Path,
        argv: &[String],
        silence: Duration,
    ) -> io::Result<Credentials> {
        let init = sandbox_access::init(socket).await?;
        let (pty, terminal) = Pty::open(init)?;
        let child = Command::new(&self.exe)
            .args(exec_in_sandbox::arguments(init, argv))
            .stdin(Stdio::from(terminal.try_clone()?))
            .stdout(Stdio::from(terminal.try_clone()?))
            .stderr(Stdio::from(terminal))
            .spawn()?;
        let session_id = format!("ecs-execute-command-{}", hex());
        let token = BASE64_STANDARD.encode(random::<48>());
        let (session, input, output) = ssm::server::session(&session_id, Options::default());
        let stream_url =
            format!("{}/v1/data-channel/{session_id}?role=publish_subscribe", self.origin);
        let mut open = self.open.lock();
        open.retain(|_, waiting| !waiting.session.is_over());
        open.insert(session_id.clone(), Waiting { token: Some(token.clone()), session });
        tokio::spawn(work(pty, child, input, output, silence));
        Ok(Credentials { session_id, stream_url, token })
    }

    /// The session of this opening message, if the token is correct and was not used before.
    pub(crate) fn find(&self, opening: &Opening) -> Option<Session> {
        let mut open = self.open.lock();
        let waiting = open.get_mut(&opening.session_id)?;
        waiting.token.take_if(|token| opening.token.is(token))?;
        Some(waiting.session.clone())
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("origin", &self.origin).finish_non_exhaustive()
    }
}

async fn work(pty: Pty, mut child: Child, input: Input, output: Output, silence: Duration) {
    if let Err(error) = converse(pty, &mut child, input, output, silence).await {
        tracing::debug!(%error, "a session failed");
    }
    // The command got SIGHUP with the end of its terminal; the wait prevents a zombie.
    if let Err(error) = child.wait().await {
        tracing::warn!(%error, "a command can't be waited for");
    }
}

/// Copies input and output until the command or the client ends.
async fn converse(
    pty: Pty,
    child: &mut Child,
    mut input: Input,
    mut output: Output,
    silence: Duration,
) -> io::Result<()> {
    let printed = async {
        sleep(silence).await;
        print(&pty, &mut output).await
    };
    tokio::pin!(printed);
    tokio::select! {
        done = &mut printed => return done,
        done = type_all(&pty, &mut input) => return done,
        _ended = child.wait() => {}
    }
    // Another process may still have the terminal open without writing.
    timeout(silence + OUTPUT_DRAIN, printed).await.unwrap_or(Ok(()))
}

async fn print(pty: &Pty, output: &mut Output) -> io::Result<()> {
    let mut text_stream = Utf8Stream::default();
    let mut buffer = [0; CHUNK];
    loop {
        let length = pty.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let text = text_stream.take(buffer.get(..length).unwrap_or_default());
        output.write_all(text.as_bytes()).await?;
    }
}

async fn type_all(pty: &Pty, input: &mut Input) -> io::Result<()> {
    while let Some(event) = input.next().await {
        match event {
            Event::Bytes(bytes) => pty.write_all(&bytes).await?,
            Event::Size { cols, rows } => pty.resize(cols, rows)?,
            Event::Closed(_) => break,
        }
    }
    Ok(())
}
