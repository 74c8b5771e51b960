//! The runner over a terminal, as ECS Exec uses it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use runner::lines::{self, END, GREETING};
use runner::protocol::{Cause, Decoder, Event, Message, Request, Start, Stream};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pty::OpenptFlags;
use rustix::termios::{InputModes, LocalModes, OutputModes};

use crate::shell::{Shell, sh};

const TIMEOUT: Duration = Duration::from_secs(150);

/// The caller at the other end of the terminal.
pub(crate) struct Caller {
    relay: Child,
    pub(crate) terminal: File,
    lines: lines::Decoder,
    events: Decoder<Event>,
}

impl Caller {
    /// Runs the line by `sh`; `$0` is the runner's program and `$1` its socket.
    pub(crate) fn run(line: &str, shell: &Shell) -> Self {
        let terminal = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&terminal).unwrap();
        rustix::pty::unlockpt(&terminal).unwrap();
        let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
        let inner = || -> Stdio {
            let open = File::options().read(true).write(true).open(name.to_str().unwrap());
            OwnedFd::from(open.unwrap()).into()
        };
        let relay = Command::new("sh")
            .args(["-c", line, env!("CARGO_BIN_EXE_runner")])
            .arg(shell.socket())
            .stdin(inner())
            .stdout(inner())
            .stderr(inner())
            .spawn()
            .unwrap();
        let lines = lines::Decoder::before_greeting();
        Self { relay, terminal: terminal.into(), lines, events: Decoder::default() }
    }

    fn greeted(shell: &Shell) -> Self {
        let mut caller = Self::run("exec \"$0\" --stdio --socket \"$1\"", shell);
        while !caller.lines.is_greeted() {
            caller.receive();
        }
        caller
    }

    /// Reads at least a byte; returns nothing at the end.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        let mut fds = [PollFd::from_borrowed_fd(self.terminal.as_fd(), PollFlags::IN)];
        let timeout = Timespec::try_from(TIMEOUT).unwrap();
        assert_eq!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(1), "a byte in time");
        let mut piece = vec![0; 64 << 10];
        // A terminal reports an error when its other end is closed.
        let count = self.terminal.read(&mut piece).unwrap_or(0);
        piece.truncate(count);
        piece
    }

    fn receive(&mut self) {
        let piece = self.read();
        assert!(!piece.is_empty(), "the relay has ended");
        let mut bytes = Vec::new();
        self.lines.feed(&piece, &mut bytes).unwrap();
        self.events.feed(&bytes);
    }

    fn send(&mut self, request: &Request) {
        let mut text = Vec::new();
        lines::encode_into(&request.encode().unwrap(), &mut text);
        self.terminal.write_all(&text).unwrap();
    }

    fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.next().unwrap() {
                return event;
            }
            self.receive();
        }
    }

    /// Runs the job and returns its stdout.
    fn stdout_of(&mut self, start: Start) -> Vec<u8> {
        self.send(&Request::Start(start));
        let mut stdout = Vec::new();
        loop {
            let event = self.next();
            if let Event::Output(output) = event {
                assert_eq!((output.stream, output.offset), (Stream::Stdout, stdout.len() as u64));
                stdout.extend(output.bytes);
            } else if let Event::Exited(exit) = event {
                assert_eq!(exit.cause, Cause::Exited { code: 0 });
                return stdout;
            } else {
                assert_eq!(event, Event::Started);
            }
        }
    }

    /// Waits for the relay to end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.relay.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the relay still runs");
            std::thread::yield_now();
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.relay.kill();
        let _ = self.relay.wait();
    }
}

#[test]
fn every_byte_passes_a_terminal_both_ways() {
    let shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    // 128 KiB is the most that the API takes; it fills every buffer on the way.
    let stdin: Vec<u8> = (0..=255).cycle().take(128 << 10).collect();
    let start = Start { stdin: stdin.clone(), ..sh("job_1", "cat") };
    assert!(caller.stdout_of(start) == stdin, "what cat read is what cat wrote");
}

#[test]
fn much_output_passes_a_terminal() {
    let shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    let line = "head -c 1000000 /dev/zero | tr '\\0' '\\377'";
    assert!(caller.stdout_of(sh("job_1", line)) == vec![255; 1_000_000]);
}

#[test]
fn the_terminal_is_raw_before_the_greeting() {
    let shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    let modes = rustix::termios::tcgetattr(&caller.terminal).unwrap();
    let local = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
    assert!(!modes.local_modes.intersects(local));
    let input = InputModes::ICRNL | InputModes::INLCR | InputModes::IXON | InputModes::ISTRIP;
    assert!(!modes.input_modes.intersects(input));
    assert!(!modes.output_modes.contains(OutputModes::OPOST));
    caller.send(&Request::Probe);
    assert!(matches!(caller.next(), Event::Ready { .. }));
}

#[test]
fn text_before_the_greeting_is_ignored() {
    let shell = Shell::boot();
    let line = "echo 'Starting session'; printf '$ '; exec \"$0\" --stdio --socket \"$1\"";
    let mut caller = Caller::run(line, &shell);
    let mut received = Vec::new();
    while !caller.lines.is_greeted() {
        let piece = caller.read();
        caller.lines.feed(&piece, &mut Vec::new()).unwrap();
        received.extend(piece);
    }
    let text = String::from_utf8(received).unwrap();
    assert_eq!(text, format!("Starting session\r\n$ {GREETING}\n"));
    caller.send(&Request::Probe);
    assert!(matches!(caller.next(), Event::Ready { .. }));
}

#[test]
fn the_relay_ends_when_the_caller_sends_the_end_line() {
    let shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    caller.send(&Request::Start(sh("job_1", "sleep 1000")));
    assert_eq!(caller.next(), Event::Started);
    caller.terminal.write_all(END.as_bytes()).unwrap();
    assert!(caller.end().success());
    // The job still runs.
    assert_eq!(shell.ask(Request::Cancel { job_id: "job_1".into() }), Event::Ok);
}

#[test]
fn the_relay_ends_when_the_terminal_is_closed() {
    let shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    caller.terminal = File::open("/dev/null").unwrap();
    caller.end();
}

#[test]
fn the_relay_sends_the_end_line_and_ends_after_the_runner() {
    let mut shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    shell.terminate();
    assert!(shell.process.wait().unwrap().success());
    while !caller.lines.is_over() {
        caller.receive();
    }
    assert!(caller.end().success());
}

#[test]
fn a_line_that_is_not_base64_ends_the_relay() {
    let shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    caller.terminal.write_all(b"ls -l\n").unwrap();
    assert!(!caller.end().success());
    assert!(matches!(shell.ask(Request::Probe), Event::Ready { .. }), "the runner must still run");
}

#[test]
fn without_a_runner_there_is_no_greeting() {
    let mut shell = Shell::boot();
    shell.terminate();
    shell.process.wait().unwrap();
    let mut caller = Caller::run("exec \"$0\" --stdio --socket \"$1\"", &shell);
    assert!(!caller.end().success());
    assert!(String::from_utf8(caller.read()).unwrap().starts_with("runner: "));
}
