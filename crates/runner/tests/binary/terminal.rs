//! Jobs on a terminal.

use std::io::Write;
use std::time::{Duration, Instant};

use runner::protocol::{
    Cause, Ended, Event, Exit, Input, Output, Request, Start, Stream, Terminal, Total,
};

use crate::shell::{Caller, Shell, is_root, sh};
use crate::stdio::Caller as Relay;

const SIZE: Terminal = Terminal { cols: 80, rows: 24, idle_ms: None, record_bytes: None };
const RING: u64 = 256 << 10;

fn on_terminal(argv: &[&str]) -> Start {
    Start {
        argv: argv.iter().map(|&arg| arg.to_owned()).collect(),
        terminal: Some(SIZE),
        max_output_bytes: RING,
        ..sh("job_1", "")
    }
}

fn line(line: &str) -> Start {
    on_terminal(&["sh", "-c", line])
}

/// A user whose shell can be run; most users of services have none.
fn user_with_a_shell() -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let own = rustix::process::geteuid().as_raw().to_string();
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, _, _, _, shell] = fields[..] else { return None };
        let is_usable = if is_root() { uid != "0" } else { uid == own };
        (is_usable && shell.ends_with("sh")).then(|| name.to_owned())
    });
    if found.is_none() {
        println!("SKIPPED: no user but root has a shell");
    }
    found
}

/// A connection that has opened the terminal of `job_1`.
struct Open {
    caller: Caller,
    /// What was received so far.
    text: Vec<u8>,
    next_offset: u64,
    /// Number of times that output was missing between two pieces.
    gaps: usize,
    exit: Option<Exit>,
}

impl Open {
    fn start(shell: &Shell, start: Start) -> Self {
        let mut starter = shell.connect();
        starter.send(&Request::Start(start));
        assert_eq!(starter.next(), Event::Started);
        Self::attach(shell, 0)
    }

    fn attach(shell: &Shell, from: u64) -> Self {
        let mut caller = shell.connect();
        caller.send(&Request::Terminal { job_id: "job_1".into(), from });
        assert_eq!(caller.next(), Event::Started);
        Self { caller, text: Vec::new(), next_offset: 0, gaps: 0, exit: None }
    }

    fn type_in(&mut self, keys: &str) {
        self.caller.send(&Request::Input(Input(keys.as_bytes().to_vec())));
    }

    fn receive(&mut self) {
        match self.caller.next() {
            Event::Output(Output { stream, offset, bytes }) => {
                assert_eq!(stream, Stream::Stdout, "a terminal has one stream");
                self.gaps += usize::from(offset != self.next_offset && !self.text.is_empty());
                self.next_offset = offset + bytes.len() as u64;
                self.text.extend(bytes);
            }
            Event::Exited(exit) => self.exit = Some(exit),
            other @ (Event::Ready { .. }
            | Event::Started
            | Event::Unknown
            | Event::Ok
            | Event::Error { .. }) => panic!("{other:?}"),
        }
    }

    fn until(&mut self, wanted: &str) {
        while !self.shown().contains(wanted) {
            assert!(self.exit.is_none(), "{wanted:?} is not in {:?}", self.shown());
            self.receive();
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    fn end(&mut self) -> Exit {
        while self.exit.is_none() {
            self.receive();
        }
        self.exit.clone().unwrap()
    }
}

#[test]
fn much_output_of_a_terminal_comes_in_few_frames() {
    const MOST: usize = 32 << 10;
    let shell = Shell::boot();
    let line = "stty -opost; echo first; read -r _; head -c 2000000 /dev/zero | tr '\\0' x";
    let mut open = Open::start(&shell, self::line(line));
    open.until("first");
    let begun = Instant::now();
    open.type_in("\r");
    let mut frames = 0;
    while open.exit.is_none() {
        open.receive();
        frames += 1;
    }
    assert!(open.text.len() > 2_000_000 && open.gaps == 0, "{} bytes", open.text.len());
    // Each frame is large, or the one before it was sent a millisecond earlier.
    let most = open.text.len() / MOST + usize::try_from(begun.elapsed().as_millis()).unwrap() + 4;
    assert!(frames <= most, "{frames} frames in {:?}", begun.elapsed());
}

#[test]
fn a_command_on_a_terminal_has_the_requested_size_and_a_controlling_terminal() {
    for shell in Shell::boot_both() {
        let what = "stty size; tty; echo $TERM; test -t 0 && test -t 1 && test -t 2 && \
                    echo all; : > /dev/tty && echo controlled; : > $(tty) && echo owned";
        let mut open = Open::start(&shell, line(what));
        assert_eq!(open.end().cause, Cause::Exited { code: 0 });
        let shown = open.shown();
        let lines: Vec<&str> = shown.lines().collect();
        let [size, tty, term, all, controlled, owned] = lines[..] else { panic!("{shown}") };
        assert_eq!((size, term, all), ("24 80", "xterm-256color", "all"));
        assert_eq!((controlled, owned), ("controlled", "owned"));
        assert!(tty.starts_with("/dev/pts/"), "{tty}");
    }
}

#[test]
fn keys_are_echoed_and_read() {
    for shell in Shell::boot_both() {
        let mut open = Open::start(&shell, line("read word; echo got $word; exit 7"));
        open.type_in("hello\r");
        assert_eq!(open.end().cause, Cause::Exited { code: 7 });
        assert_eq!(open.shown(), "hello\r\ngot hello\r\n");
    }
}

#[test]
fn without_a_command_the_login_shell_of_the_user_runs_interactively() {
    for shell in Shell::boot_both() {
        let Some(user) = user_with_a_shell() else { return };
        let mut open = Open::start(&shell, Start { user, ..on_terminal(&[]) });
        open.type_in("echo $((6 * 7)); case $- in *i*) echo inter''active;; esac; echo $0\r");
        open.until("42\r\n");
        open.until("interactive\r\n");
        open.until("\n-");
        open.type_in("exit 3\r");
        assert_eq!(open.end().cause, Cause::Exited { code: 3 });
    }
}

#[test]
fn an_interrupt_key_ends_the_foreground_program_but_not_the_shell() {
    for shell in Shell::boot_both() {
        let mut open = Open::start(&shell, on_terminal(&["sh", "-i"]));
        open.type_in("sh -c \"echo st''arted; exec sleep 1000\"\r");
        open.until("started");
        open.type_in("\x03");
        open.type_in("echo al''ive\r");
        open.until("alive");
        open.type_in("exit\r");
        assert!(open.end().cause.ran());
    }
}

#[test]
fn a_resize_reaches_the_foreground_program() {
    resize(500, 200, "200 500");
}

#[test]
fn a_size_beyond_the_limits_becomes_the_nearest_one() {
    resize(u16::MAX, 0, "1 1000");
}

/// Resizes a terminal, whose foreground program must see these rows and columns then.
fn resize(cols: u16, rows: u16, seen: &str) {
    for shell in Shell::boot_both() {
        let what = "trap 'stty size; exit 0' WINCH; echo ready; while :; do read line; done";
        let mut open = Open::start(&shell, line(what));
        open.until("ready");
        open.caller.send(&Request::Resize { cols, rows });
        assert_eq!(open.end().cause, Cause::Exited { code: 0 });
        assert_eq!(open.shown().lines().last(), Some(seen));
    }
}

#[test]
fn who_opens_the_terminal_again_receives_what_it_showed_and_goes_on() {
    for shell in Shell::boot_both() {
        let mut first = Open::start(&shell, line("echo one; read word; echo two $word; read end"));
        first.until("one");
        drop(first);
        let mut second = Open::attach(&shell, 0);
        second.until("one");
        let mut watcher = Open::attach(&shell, 0);
        watcher.until("one");
        second.type_in("more\r");
        second.until("two more");
        watcher.until("two more");
        second.type_in("\r");
        assert_eq!(second.end().cause, Cause::Exited { code: 0 });
        assert_eq!(watcher.end().cause, Cause::Exited { code: 0 });
    }
}

#[test]
fn a_terminal_that_nobody_has_opened_never_blocks_its_program_and_keeps_the_last_bytes() {
    let shell = Shell::boot();
    let ran = shell.run(line("yes | head -c 10000000; echo END"));
    assert_eq!(ran.code(), 0);
    // yes writes 5,000,000 lines, and the terminal adds a carriage return to each.
    assert_eq!(ran.exit.stdout, Total { bytes: 15_000_005, kept: RING, tail: RING });
    assert!(ran.text().ends_with("y\r\nEND\r\n"), "the end is kept");
}

#[test]
fn a_program_waits_for_a_slow_reader_and_loses_nothing() {
    let shell = Shell::boot();
    let mut open = Open::start(&shell, line("read go; yes | head -c 3000000; echo END"));
    open.type_in("\r");
    let exit = open.end();
    assert_eq!(exit.cause, Cause::Exited { code: 0 });
    assert_eq!((open.gaps, open.text.len() as u64), (0, exit.stdout.bytes));
    assert!(open.shown().ends_with("END\r\n"));
}

#[test]
fn a_paste_of_a_megabyte_arrives_whole() {
    let shell = Shell::boot();
    let mut open = Open::start(&shell, line("stty raw -echo; echo ready; head -c 1000000 | cksum"));
    open.until("ready");
    let paste: Vec<u8> = (0..1_000_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    for piece in paste.chunks(100_000) {
        open.caller.send(&Request::Input(Input(piece.to_vec())));
    }
    open.end();
    assert!(open.shown().contains("1000000"), "{}", open.shown());
}

#[test]
fn a_cancel_ends_an_interactive_shell_at_once() {
    for shell in Shell::boot_both() {
        let mut open = Open::start(&shell, on_terminal(&["sh", "-i"]));
        open.type_in("echo re''ady\r");
        open.until("ready");
        let begun = Instant::now();
        assert_eq!(shell.ask(Request::Cancel { job_id: "job_1".into() }), Event::Ok);
        assert!(matches!(open.end().cause, Cause::Cancelled { ended: Some(_) }));
        assert!(begun.elapsed() < Duration::from_secs(4), "before SIGKILL");
    }
}

#[test]
fn a_terminal_without_a_connection_ends_when_its_idle_time_is_over() {
    let shell = Shell::boot();
    let terminal = Some(Terminal { idle_ms: Some(200), ..SIZE });
    let ran = shell.run(Start { terminal, ..line("exec sleep 1000") });
    assert_eq!(ran.exit.cause, Cause::TimedOut { ended: Ended::Signal(libc::SIGHUP) });
}

#[test]
fn what_is_no_open_terminal_takes_no_input() {
    let shell = Shell::boot();
    let input = || Request::Input(Input(b"ls\r".to_vec()));
    let no_terminal = shell.ask(input());
    assert!(matches!(no_terminal, Event::Error { retryable: false, .. }), "{no_terminal:?}");
    let unknown = shell.ask(Request::Terminal { job_id: "job_9".into(), from: 0 });
    assert_eq!(unknown, Event::Unknown);
    let mut pipes = shell.connect();
    pipes.send(&Request::Start(sh("job_1", "read line; sleep 1000")));
    assert_eq!(pipes.next(), Event::Started);
    let refused = shell.ask(Request::Terminal { job_id: "job_1".into(), from: 0 });
    assert!(matches!(refused, Event::Error { retryable: false, .. }), "{refused:?}");
}

#[test]
fn a_closed_terminal_can_still_be_read_but_takes_no_input() {
    let shell = Shell::boot();
    assert_eq!(shell.run(line("echo last words")).code(), 0);
    let mut open = Open::attach(&shell, 0);
    assert_eq!(open.end().cause, Cause::Exited { code: 0 });
    assert_eq!(open.shown(), "last words\r\n");
    open.type_in("ls\r");
    assert!(matches!(open.caller.next(), Event::Error { .. }));
}

#[test]
fn terminals_leave_no_descriptors_behind() {
    let shell = Shell::boot();
    let open = || {
        let pid = shell.process.id();
        std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
    };
    let before = open();
    for number in 0..20 {
        let ran = shell.run(Start { job_id: format!("job_{number}"), ..line("echo done") });
        assert_eq!(ran.text(), "done\r\n");
    }
    assert!(open() <= before + 1, "{before} descriptors have become {}", open());
}

#[test]
fn a_relay_passes_keys_output_and_size_between_two_terminals() {
    let shell = Shell::boot();
    let what = "echo ready; read word; while test \"$(stty size)\" != '33 111'; do :; done; \
                echo resized, got $word";
    let mut starter = shell.connect();
    starter.send(&Request::Start(line(what)));
    assert_eq!(starter.next(), Event::Started);
    let open = "stty rows 33 cols 111; exec \"$0\" --terminal job_1 --socket \"$1\"";
    let mut relay = Relay::run(open, &shell);
    let mut shown = String::new();
    while !shown.contains("ready") {
        shown.push_str(&String::from_utf8(relay.read()).unwrap());
    }
    relay.terminal.write_all(b"word\r").unwrap();
    while !shown.contains("resized, got word\r\n") {
        let piece = relay.read();
        assert!(!piece.is_empty(), "{shown:?}");
        shown.push_str(&String::from_utf8(piece).unwrap());
    }
    assert!(relay.end().success());
}

#[test]
fn a_relay_to_a_closed_terminal_shows_what_it_showed_last() {
    let shell = Shell::boot();
    assert_eq!(shell.run(line("echo last words")).code(), 0);
    let open = "stty rows 33 cols 111; exec \"$0\" --terminal job_1 --socket \"$1\"";
    let mut relay = Relay::run(open, &shell);
    let mut shown = relay.read();
    while !shown.ends_with(b"\n") {
        shown.extend(relay.read());
    }
    assert_eq!(String::from_utf8(shown).unwrap(), "last words\r\n");
    assert!(relay.end().success());
}

#[test]
fn a_relay_to_an_unknown_terminal_says_so_and_ends() {
    let shell = Shell::boot();
    let mut relay = Relay::run("exec \"$0\" --terminal job_9 --socket \"$1\"", &shell);
    let shown = String::from_utf8(relay.read()).unwrap();
    assert_eq!(shown, "runner: this shell has no such terminal\r\n");
    assert!(relay.end().success());
}

#[test]
fn the_terminal_belongs_to_the_user_of_the_command() {
    if !is_root() {
        println!("SKIPPED: needs root to run commands as another user");
        return;
    }
    let shell = Shell::boot();
    let user = shell.run(sh("job_2", "id -u"));
    let ran = shell.run(line("stat -c %u $(tty)"));
    assert_eq!(ran.text().trim(), user.text().trim());
}

#[test]
fn a_recorded_terminal_reports_an_asciicast_as_stderr_while_it_runs() {
    for shell in Shell::boot_both() {
        let terminal = Some(Terminal { record_bytes: Some(1 << 20), ..SIZE });
        let start = Start { terminal, ..line("echo one; read word; stty size; exit 3") };
        let mut follower = shell.connect();
        follower.send(&Request::Start(start));
        assert_eq!(follower.next(), Event::Started);
        let mut lines = String::new();
        let mut follow_until = |wanted: &str| {
            while !lines.contains(wanted) {
                match follower.next() {
                    Event::Output(Output { stream: Stream::Stderr, bytes, .. }) => {
                        lines.push_str(std::str::from_utf8(&bytes).unwrap());
                    }
                    Event::Output(_) => {}
                    other @ (Event::Ready { .. }
                    | Event::Started
                    | Event::Exited(_)
                    | Event::Unknown
                    | Event::Ok
                    | Event::Error { .. }) => {
                        panic!("{wanted:?} is not in {lines:?}: {other:?}")
                    }
                }
            }
        };
        follow_until("one");
        let mut open = Open::attach(&shell, 0);
        open.caller.send(&Request::Resize { cols: 100, rows: 30 });
        open.type_in("secret\r");
        assert_eq!(open.end().cause, Cause::Exited { code: 3 });
        assert!(!open.shown().contains("\"o\""), "who opens it sees no recording");
        follow_until("30 100");
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["version"], &lines[0]["width"]), (&2.into(), &80.into()));
        assert_eq!(lines[0]["env"]["TERM"], "xterm-256color");
        let of = |code: &str| -> String {
            let events = lines[1..].iter().filter(|event| event[1] == code);
            events.map(|event| event[2].as_str().unwrap()).collect()
        };
        assert!(of("o").starts_with("one\r\n"), "{lines:?}");
        assert_eq!(of("r"), "100x30");
        assert_eq!(of("i"), "", "input is not recorded");
        let times: Vec<f64> = lines[1..].iter().map(|event| event[0].as_f64().unwrap()).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
}
