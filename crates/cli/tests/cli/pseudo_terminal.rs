//! The binary on a terminal of its own.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize},
};

/// How long the binary may take to show something, or to end. It gives up a lost server after a minute.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A program on a pseudo-terminal.
pub(crate) struct OnTerminal {
    child: Child,
    keys: File,
    /// The program's side, which keeps the terminal open after the program's end.
    terminal: OwnedFd,
    before: Termios,
    shown: Vec<u8>,
}

impl OnTerminal {
    pub(crate) fn new(mut command: Command) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal");
        grantpt(&keys).expect("it is granted");
        unlockpt(&keys).expect("it is unlocked");
        let name = ptsname(&keys, Vec::new()).expect("it has a name");
        let terminal =
            open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it is there");
        let size = Winsize { ws_row: 33, ws_col: 111, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).expect("it has a size");
        let before = tcgetattr(&terminal).expect("a terminal");
        let side = || terminal.try_clone().expect("a descriptor");
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("it runs");
        Self { child, keys: keys.into(), terminal, before, shown: Vec::new() }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it is typed");
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Reads until the terminal has shown this.
    pub(crate) fn until(&mut self, wanted: &str) {
        let deadline = Instant::now() + TIME_LIMIT;
        while !self.shown().contains(wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(self.read_within(left), "{wanted:?} is not in {:?}", self.shown());
        }
    }

    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// Whether a program that reads the terminal next gets something.
    pub(crate) fn holds_input(&self) -> bool {
        let terminal = self.terminal.as_fd();
        let ready = poll(&mut [PollFd::new(&terminal, PollFlags::IN)], Some(&Timespec::default()));
        ready.expect("it can be polled") > 0
    }

    /// Closes our side, as a terminal emulator does when its window is closed, and returns the exit code. The program
    /// gets no SIGHUP, because this is not its controlling terminal.
    pub(crate) fn hung_up(mut self) -> Option<i32> {
        self.keys = File::open("/dev/null").expect("a file");
        let deadline = Instant::now() + TIME_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it did not end: {:?}", self.shown());
            std::thread::yield_now();
        }
    }

    /// The exit code, after a check that the terminal is as it was before.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + TIME_LIMIT;
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                break status.code();
            }
            // A program that waits for its terminal must not wait for this test.
            self.read_within(Duration::from_millis(20));
            assert!(Instant::now() < deadline, "it did not end: {:?}", self.shown());
        };
        while self.read_within(Duration::ZERO) {}
        let after = tcgetattr(&self.terminal).expect("a terminal");
        assert!(after.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.input_modes, self.before.input_modes);
        assert_eq!(after.output_modes, self.before.output_modes);
        code
    }

    /// Reads what is shown within this time; false if that is nothing.
    fn read_within(&mut self, time: Duration) -> bool {
        let time = Timespec::try_from(time).expect("a short time");
        let ready = {
            let keys = self.keys.as_fd();
            poll(&mut [PollFd::new(&keys, PollFlags::IN)], Some(&time)).expect("it can be polled")
        };
        if ready == 0 {
            return false;
        }
        let mut piece = [0; 4096];
        let count = self.keys.read(&mut piece).expect("the terminal is open");
        self.shown.extend_from_slice(&piece[..count]);
        count > 0
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
