//! The runner over a terminal, as ECS Exec reaches it.

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

const PATIENCE: Duration = Duration::from_secs(30);

/// Whoever holds the other end of the terminal.
struct Caller {
    bridge: Child,
    terminal: File,
    lines: lines::Decoder,
    events: Decoder<Event>,
}

impl Caller {
    /// Runs the line, whose `$0` is the runner's program and whose `$1` is its socket.
    fn run(line: &str, shell: &Shell) -> Self {
        let terminal = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&terminal).unwrap();
        rustix::pty::unlockpt(&terminal).unwrap();
        let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
        let inner = || -> Stdio {
            let open = File::options().read(true).write(true).open(name.to_str().unwrap());
            OwnedFd::from(open.unwrap()).into()
        };
        let bridge = Command::new("sh")
            .args(["-c", line, env!("CARGO_BIN_EXE_runner")])
            .arg(shell.socket())
            .stdin(inner())
            .stdout(inner())
            .stderr(inner())
            .spawn()
            .unwrap();
        let lines = lines::Decoder::before_greeting();
        Self { bridge, terminal: terminal.into(), lines, events: Decoder::default() }
    }

    fn greeted(shell: &Shell) -> Self {
        let mut caller = Self::run("exec \"$0\" --stdio --socket \"$1\"", shell);
        while !caller.lines.is_greeted() {
            caller.hear();
        }
        caller
    }

    /// What is there, at least a byte; nothing at the end.
    fn read(&mut self) -> Vec<u8> {
        let mut fds = [PollFd::from_borrowed_fd(self.terminal.as_fd(), PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).unwrap();
        assert_eq!(rustix::event::poll(&mut fds, Some(&patience)), Ok(1), "a byte in time");
        let mut piece = vec![0; 64 << 10];
        // An error is how the terminal says that nobody has its other end open.
        let count = self.terminal.read(&mut piece).unwrap_or(0);
        piece.truncate(count);
        piece
    }

    fn hear(&mut self) {
        let piece = self.read();
        assert!(!piece.is_empty(), "the bridge is gone");
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
            self.hear();
        }
    }

    /// The job's stdout, from its start to its end.
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

    /// How the bridge ended.
    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.bridge.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the bridge goes on");
            std::thread::yield_now();
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.bridge.kill();
        let _ = self.bridge.wait();
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
fn what_others_say_before_the_greeting_is_passed_over() {
    let shell = Shell::boot();
    let line = "echo 'Starting session'; printf '$ '; exec \"$0\" --stdio --socket \"$1\"";
    let mut caller = Caller::run(line, &shell);
    let mut heard = Vec::new();
    while !caller.lines.is_greeted() {
        let piece = caller.read();
        caller.lines.feed(&piece, &mut Vec::new()).unwrap();
        heard.extend(piece);
    }
    let text = String::from_utf8(heard).unwrap();
    assert_eq!(text, format!("Starting session\r\n$ {GREETING}\n"));
    caller.send(&Request::Probe);
    assert!(matches!(caller.next(), Event::Ready { .. }));
}

#[test]
fn the_bridge_ends_when_the_caller_says_so() {
    let shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    caller.send(&Request::Start(sh("job_1", "sleep 1000")));
    assert_eq!(caller.next(), Event::Started);
    caller.terminal.write_all(END.as_bytes()).unwrap();
    assert!(caller.end().success());
    // The command does not mind.
    assert_eq!(shell.ask(Request::Cancel { job_id: "job_1".into() }), Event::Ok);
}

#[test]
fn the_bridge_ends_when_the_terminal_is_closed() {
    let shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    caller.terminal = File::open("/dev/null").unwrap();
    caller.end();
}

#[test]
fn the_bridge_ends_after_the_runner_and_says_so() {
    let mut shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    shell.terminate();
    assert!(shell.process.wait().unwrap().success());
    while !caller.lines.is_over() {
        caller.hear();
    }
    assert!(caller.end().success());
}

#[test]
fn lines_that_are_none_end_the_bridge() {
    let shell = Shell::boot();
    let mut caller = Caller::greeted(&shell);
    caller.terminal.write_all(b"ls -l\n").unwrap();
    assert!(!caller.end().success());
    assert!(matches!(shell.ask(Request::Probe), Event::Ready { .. }), "and the runner goes on");
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
