//! T1 to T3: terminals in the client's own terminal, beside ssh to this host.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use self::{screen::Screen, ssh::Ssh};
use crate::{
    Bench, api,
    figure::{Figure, Target, percentile},
    server::Server,
};

mod screen;
mod ssh;

const KEYS: usize = 300;
/// Between two keys. People type slower, but a pause of any length lets all processes sleep.
const KEY_PAUSE: Duration = Duration::from_millis(5);
/// The size of the file that is shown. Bytes, in lines of 76 characters.
const SHOWN: u64 = 100_000_000;
const SHOWINGS: usize = 3;
const IDLE: usize = 100;
/// The terminals of one user would be more than the long polls and streams that a user may have.
const USERS: [&str; 2] = ["one", "two"];
/// How many terminals a shell has, below its limit of running commands.
const OF_A_SHELL: usize = 25;
/// Until the server has nothing to do any more.
const SETTLING: Duration = Duration::from_secs(2);
/// Shows every key at once, as a shell does.
const SHOW_KEYS: &str = "echo ready; exec cat";

/// T1 to T3.
pub(crate) fn figures(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    match Ssh::start() {
        Ok(ssh) => {
            figures.push(echo(bench, &ssh).context("T1")?);
            figures.push(output(bench, &ssh).context("T2")?);
        }
        Err(error) => eprintln!("SKIPPED: T1 and T2: no ssh to compare with: {error:#}"),
    }
    figures.push(memory(bench).context("T3")?);
    Ok(figures)
}

/// T1: time from a key until the terminal shows it.
fn echo(bench: &Bench, ssh: &Ssh) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 10, 0)?;
    let mut api = server.connect()?;
    let session = api::start_ready(&mut api)?;
    let mut ours = Screen::open(&mut attach(bench, &server, server.token(), &session, SHOW_KEYS))?;
    let mut theirs = Screen::open(&mut ssh.run(SHOW_KEYS))?;
    ours.read_until(b"ready\r\n")?;
    theirs.read_until(b"ready\r\n")?;
    let (mut our_spans, mut their_spans) = (Vec::new(), Vec::new());
    for _ in 0..KEYS {
        for (screen, spans) in [(&mut ours, &mut our_spans), (&mut theirs, &mut their_spans)] {
            thread::sleep(KEY_PAUSE);
            let begun = Instant::now();
            screen.write(b"x")?;
            screen.read_until(b"x")?;
            spans.push(begun.elapsed());
        }
    }
    drop(ours);
    bench.stop_all(&server)?;
    server.down()?;
    Ok(Figure {
        id: "T1",
        what: format!("a key until `ephemeral attach` shows it, p50 of {KEYS}"),
        value: percentile(our_spans, 0.5),
        unit: "ms",
        peer: Some(("ssh", percentile(their_spans, 0.5))),
        target: Target::AtMost(1.0),
    })
}

/// T2: output of a program that a terminal shows.
fn output(bench: &Bench, ssh: &Ssh) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 10, 0)?;
    let mut api = server.connect()?;
    let session = api::start_largest(&mut api)?;
    let in_shell = Path::new("/tmp/shown");
    api::run(&mut api, &session, &["sh", "-c", &write_command(in_shell)])?;
    let on_host = dir.path().join("shown");
    let written = Command::new("sh").args(["-c", &write_command(&on_host)]).status()?;
    ensure!(written.success(), "writing {} failed", on_host.display());
    let (mut our_spans, mut their_spans) = (Vec::new(), Vec::new());
    for _ in 0..SHOWINGS {
        let mut ours = attach(bench, &server, server.token(), &session, &cat(in_shell));
        our_spans.push(show(&mut ours)?);
        their_spans.push(show(&mut ssh.run(&cat(&on_host)))?);
    }
    bench.stop_all(&server)?;
    server.down()?;
    let rate = |spans| 100.0 / (percentile(spans, 0.5) / 1000.0);
    Ok(Figure {
        id: "T2",
        what: "`cat` of 100 MB in `ephemeral attach`".to_owned(),
        value: rate(our_spans),
        unit: "MB/s",
        peer: Some(("ssh", rate(their_spans))),
        target: Target::AtLeast(1.0),
    })
}

/// T3: memory of the server for each terminal that is open and shows nothing.
fn memory(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let quota = u32::try_from(IDLE / OF_A_SHELL)?;
    let server = bench.up(dir.path(), quota, 0)?;
    let mut shells = Vec::new();
    for name in USERS {
        let token = server.add_user(&bench.program, name)?;
        let mut api = server.connect_as(&token)?;
        for _ in 0..IDLE / OF_A_SHELL / USERS.len() {
            shells.push((token.clone(), api::start_ready(&mut api)?));
        }
    }
    let open = |(token, session): &(String, String)| {
        let mut command = attach(bench, &server, token, session, SHOW_KEYS);
        let mut screen = Screen::open(&mut command)?;
        screen.read_until(b"ready\r\n")?;
        Ok::<_, anyhow::Error>(screen)
    };
    // What the first terminal takes for all that follow is not counted.
    drop(open(&shells[0])?);
    let before = server.rss_kib()?;
    let mut screens = Vec::new();
    for shell in &shells {
        for _ in 0..OF_A_SHELL {
            screens.push(open(shell)?);
        }
    }
    thread::sleep(SETTLING);
    let after = server.rss_kib()?;
    drop(screens);
    server.down()?;
    Ok(Figure {
        id: "T3",
        what: format!("server's memory for each of {IDLE} idle terminals"),
        value: f64::from(u32::try_from(after.saturating_sub(before))?)
            / f64::from(u32::try_from(IDLE)?),
        unit: "KiB",
        peer: None,
        target: Target::AtMost(100.0),
    })
}

/// The command that shows a new terminal of a shell, in which this command line runs.
fn attach(bench: &Bench, server: &Server, token: &str, session: &str, line: &str) -> Command {
    let mut command = Command::new(&bench.program);
    command
        .args(["attach", session, "--", line])
        .env("EPHEMERAL_URL", format!("http://{}", server.address()))
        .env("EPHEMERAL_TOKEN", token);
    command
}

/// Shows this file after a key was pressed, and then a line that the file does not have.
fn cat(file: &Path) -> String {
    format!("echo ready; read -r _; cat {}; echo; echo shown", file.display())
}

/// The time in which a file is shown.
fn show(command: &mut Command) -> Result<Duration> {
    let mut screen = Screen::open(command)?;
    screen.read_until(b"ready\r\n")?;
    let begun = Instant::now();
    screen.write(b"\r")?;
    let read = screen.read_until(b"\r\nshown\r\n")?;
    let span = begun.elapsed();
    ensure!(read >= SHOWN, "only {read} bytes were shown");
    Ok(span)
}

/// Writes the file that is shown.
fn write_command(file: &Path) -> String {
    format!("base64 -w 76 /dev/zero | head -c {SHOWN} > {}", file.display())
}
