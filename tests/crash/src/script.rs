//! The commands that the load runs, and what each of them must say.
//!
//! Each leaves a line at its beginning and at its end in a file of its session, so that a later
//! command can tell how often it ran, in which order, and beside what.

use std::fmt::Write as _;

use testkit::Dice;

/// Where commands sign, in their session.
const SIGNED: &str = "/tmp/signed";

/// What a command does between its two signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Nothing.
    Quick,
    /// Lines, a little time apart.
    Chatty { lines: u32 },
    /// Much output at once.
    Bulk { lines: u32 },
    /// Silence.
    Sleep { tenths: u32 },
    /// Its own end by SIGKILL.
    KillsItself,
    /// More time than it has.
    TooLong,
    /// More time than anybody has; to be cancelled, or cut off by the end of its session.
    Endless,
    /// The same, but for a signal that its caller sends.
    Signalled,
    /// Lines until a file appears.
    Ticks,
}

/// One command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Script {
    /// Its name in the file that commands sign; unique in the run.
    pub(crate) number: u64,
    pub(crate) body: Body,
    pub(crate) code: i32,
}

impl Script {
    /// One of those that end by themselves.
    pub(crate) fn any(number: u64, dice: &mut Dice) -> Self {
        let body = match dice.below(10) {
            0..=3 => Body::Quick,
            4 | 5 => Body::Chatty { lines: 10 + size(dice, 30) },
            6 => Body::Bulk { lines: 1000 + size(dice, 20_000) },
            7 => Body::Sleep { tenths: 1 + size(dice, 15) },
            8 => Body::KillsItself,
            _ => Body::TooLong,
        };
        let code = i32::try_from(dice.below(4)).unwrap_or(0);
        Self { number, body, code }
    }

    /// The line for `sh -c`. `mark` tells our processes from others on the host.
    pub(crate) fn line(&self, mark: &str) -> String {
        let Self { number, body, code } = self;
        let body = match body {
            Body::Quick => "echo err >&2".to_owned(),
            Body::Chatty { lines } => {
                format!(
                    "i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); sleep 0.02; done"
                )
            }
            Body::Bulk { lines } => format!("seq 1 {lines}"),
            Body::Sleep { tenths } => format!("sleep {}.{}", tenths / 10, tenths % 10),
            Body::KillsItself => "kill -9 $$".to_owned(),
            Body::TooLong | Body::Endless | Body::Signalled => "sleep 600".to_owned(),
            Body::Ticks => "i=0; while [ ! -e /tmp/enough ]; do echo tick $i; i=$((i+1)); \
                            sleep 0.1; done; echo $i >&2"
                .to_owned(),
        };
        format!(
            ": {mark}; echo +{number} >> {SIGNED}; grep -c '^+{number}$' {SIGNED}; {body}; \
             echo -{number} >> {SIGNED}; exit {code}"
        )
    }

    /// Seconds that it may run.
    pub(crate) const fn timeout(&self) -> u32 {
        if matches!(self.body, Body::TooLong) { 1 } else { 600 }
    }

    /// What it must have written to stdout when it has ended by itself; none if that is open.
    pub(crate) fn stdout(&self) -> Option<String> {
        let mut text = "1\n".to_owned();
        let written = match self.body {
            Body::Quick | Body::Sleep { .. } | Body::KillsItself => Ok(()),
            Body::Chatty { lines } => (0..lines).try_for_each(|i| writeln!(text, "line {i}")),
            Body::Bulk { lines } => (1..=lines).try_for_each(|i| writeln!(text, "{i}")),
            Body::TooLong | Body::Endless | Body::Signalled | Body::Ticks => return None,
        };
        written.is_ok().then_some(text)
    }

    /// The signal that it ends by.
    pub(crate) const fn signal(&self) -> Option<i64> {
        match self.body {
            Body::KillsItself => Some(9),
            Body::Signalled => Some(15),
            Body::Quick
            | Body::Chatty { .. }
            | Body::Bulk { .. }
            | Body::Sleep { .. }
            | Body::TooLong
            | Body::Endless
            | Body::Ticks => None,
        }
    }

    /// Whether it signs a second time if nobody stops it.
    pub(crate) const fn signs_off(&self) -> bool {
        self.signal().is_none() && !matches!(self.body, Body::TooLong | Body::Endless)
    }
}

/// Reads what the commands of a session have signed.
pub(crate) fn audit(mark: &str) -> String {
    format!(": {mark}; cat {SIGNED} 2>/dev/null; true")
}

fn size(dice: &mut Dice, end: usize) -> u32 {
    u32::try_from(dice.below(end)).unwrap_or(0)
}
