//! ECS Exec: commands in running tasks, and the channels to them.

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use ssm::server::{Event, Input, Opening, Options, Output, Session};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    chance::{hex, random},
    drill, enter,
    pty::Pty,
    runes::Runes,
};

/// Of output, in one message.
const CHUNK: usize = 1024;
/// For what a command printed last, if something else still has its terminal.
const AFTERGLOW: Duration = Duration::from_millis(500);

/// The sessions that nobody has ended.
pub(crate) struct Sessions {
    exe: PathBuf,
    /// `ws://` and the authority.
    origin: String,
    open: Mutex<HashMap<String, Waiting>>,
}

struct Waiting {
    /// Opens one channel, once.
    token: Option<String>,
    session: Session,
}

/// What the client gets to open the channel with.
pub(crate) struct Ticket {
    pub(crate) session_id: String,
    pub(crate) stream_url: String,
    pub(crate) token: String,
}

impl Sessions {
    pub(crate) fn new(exe: PathBuf, origin: String) -> Self {
        Self { exe, origin, open: Mutex::default() }
    }

    /// Runs a command in the sandbox whose runner listens there, as root on a terminal.
    pub(crate) async fn start(
        &self,
        socket: &Path,
        argv: &[String],
        silence: Duration,
    ) -> io::Result<Ticket> {
        let init = drill::init(socket).await?;
        let (pty, terminal) = Pty::open(init)?;
        let child = Command::new(&self.exe)
            .args(enter::arguments(init, argv))
            .stdin(Stdio::from(terminal.try_clone()?))
            .stdout(Stdio::from(terminal.try_clone()?))
            .stderr(Stdio::from(terminal))
            .spawn()?;
        let session_id = format!("ecs-execute-command-{}", hex());
        let token = BASE64_STANDARD.encode(random::<48>());
        let (session, input, output) = ssm::server::session(&session_id, Options::default());
        let stream_url =
            format!("{}/v1/data-channel/{session_id}?role=publish_subscribe", self.origin);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, waiting| !waiting.session.is_over());
        open.insert(session_id.clone(), Waiting { token: Some(token.clone()), session });
        tokio::spawn(work(pty, child, input, output, silence));
        Ok(Ticket { session_id, stream_url, token })
    }

    /// The session that this opens, if its token is right and was not used before.
    pub(crate) fn find(&self, opening: &Opening) -> Option<Session> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
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
        tracing::debug!(%error, "a session broke");
    }
    // Without its terminal it has got SIGHUP. It must not stay as a zombie.
    if let Err(error) = child.wait().await {
        tracing::warn!(%error, "a command can't be waited for");
    }
}

/// Until the command ends, or the client.
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
    // Something else may still have the terminal open, and be silent.
    timeout(silence + AFTERGLOW, printed).await.unwrap_or(Ok(()))
}

async fn print(pty: &Pty, output: &mut Output) -> io::Result<()> {
    let mut runes = Runes::default();
    let mut buffer = [0; CHUNK];
    loop {
        let length = pty.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let text = runes.take(buffer.get(..length).unwrap_or_default());
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
