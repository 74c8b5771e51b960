//! The command of an execute job. It is passed on as data; nothing is interpolated into it.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Secret, file::FileJob, marks::MAX_MARK_BYTES, ports::Stream};

/// The command of an execute job and its environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program.
    pub program: Secret<Program>,
    /// Working directory; the user's home if absent.
    pub cwd: Option<Secret<String>>,
    /// Environment variables, which override the session's.
    pub env: Secret<BTreeMap<String, String>>,
    /// The user of the image that runs the command, never root; `shelluser` if absent.
    pub user: Option<String>,
    /// The bytes on the command's standard input, followed by end of file.
    pub stdin: Secret<Vec<u8>>,
    /// How long the command may run before it is terminated.
    pub timeout: Duration,
    /// Whether the job waits for the serial jobs before it.
    pub concurrency: Concurrency,
    /// How many bytes of stdout, and as many of stderr, are stored.
    pub max_output_bytes: u64,
    /// Which part of a longer stream is stored.
    #[serde(default, skip_serializing_if = "Keep::is_head")]
    pub keep: Keep,
    /// Whether what the command writes to stderr is part of its stdout, in the order of the writes. The stream
    /// stderr carries the marks of which part is which then, if there are any: see [`marks`](crate::marks).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge: bool,
    /// Whether marks are wanted if its output is merged. Records of earlier versions do not say so: they have none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub marks: bool,
    /// The shell that runs a command line; the image's bash, or else its sh, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<ShellName>,
    /// Whether processes that still run when the command exits are left running. Otherwise they are
    /// killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub background: bool,
    /// The name of the shell of the session that runs the command line and keeps its state for the next one of
    /// that name. A shell of its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_shell: Option<String>,
    /// The terminal that the command runs on; none for pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Terminal>,
    /// What is done with files of the shell; the program of the command is that of the deployment then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FileJob>,
}

/// A terminal, as it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Width in characters.
    pub cols: u16,
    /// Height in characters.
    pub rows: u16,
    /// How long nobody may be connected before the command is ended; without end if absent.
    pub idle: Option<Duration>,
    /// Whether what it shows is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub record: bool,
}

/// The largest recording of a terminal. Bytes. In base64 it fits into a response of 6 MB, which gateways permit.
pub const MAX_RECORDING: u64 = 4 * 1024 * 1024;

impl Command {
    /// A command on pipes, with empty input, in the user's home and with the session's variables only. It waits for
    /// the serial jobs before it, both ends of long output are stored, and what it leaves running is killed.
    pub fn new(program: Program, timeout: Duration, max_output_bytes: u64) -> Self {
        Self {
            program: Secret::new(program),
            cwd: None,
            env: Secret::default(),
            user: None,
            stdin: Secret::default(),
            timeout,
            concurrency: Concurrency::Serial,
            max_output_bytes,
            keep: Keep::Both,
            merge: false,
            marks: false,
            shell: None,
            background: false,
            shared_shell: None,
            terminal: None,
            files: None,
        }
    }

    /// Drops what may be large or secret: the program, directory, variables and input. What is left, the
    /// outline, decides when the command may run.
    pub fn clear(&mut self) {
        self.program = Secret::new(Program::Argv(Vec::new()));
        self.cwd = None;
        self.env = Secret::default();
        self.stdin = Secret::default();
        self.files.iter_mut().for_each(FileJob::clear);
    }

    /// How many bytes of a stream are stored. A terminal has no stderr: that stream carries its recording. Merged
    /// output has none either: that stream carries its marks.
    pub fn max_bytes(&self, stream: Stream) -> u64 {
        match (stream, self.terminal) {
            (Stream::Stderr, None) if self.has_marks() => MAX_MARK_BYTES,
            (Stream::Stdout, _) | (Stream::Stderr, None) => self.max_output_bytes,
            (Stream::Stderr, Some(terminal)) if terminal.record => MAX_RECORDING,
            (Stream::Stderr, Some(_)) => 0,
        }
    }

    /// Whether its shell is asked for marks. A shell that commands share gives them one pipe, without marks.
    pub const fn has_marks(&self) -> bool {
        self.merge && self.marks && self.shared_shell.is_none() && self.terminal.is_none()
    }

    /// Whether only the outline is left, which can't be run.
    pub fn is_outline(&self) -> bool {
        matches!(self.program.expose(), Program::Argv(argv) if argv.is_empty())
    }
}

/// A shell command line, or a program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// Run as `bash -c LINE` or `sh -c LINE`.
    Shell(String),
    /// Run without a shell; the first element is the program.
    Argv(Vec<String>),
    /// The user's login shell, which needs a terminal.
    #[serde(rename = "loginShell")]
    LoginShell,
}

/// Which part is stored of an output stream that is longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// The beginning. The default of records that were written before there was a choice.
    #[default]
    Head,
    /// The end.
    Tail,
    /// The beginning and the end, each up to half of the limit.
    Both,
}

impl Keep {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Both, Self::Head, Self::Tail];

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    const fn is_head(&self) -> bool {
        matches!(self, Self::Head)
    }
}

/// A shell that runs command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShellName {
    Bash,
    Sh,
}

impl ShellName {
    /// Both values.
    pub const ALL: [Self; 2] = [Self::Bash, Self::Sh];

    /// The name of the program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Sh => "sh",
        }
    }
}

/// How a job is ordered among the jobs of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Concurrency {
    /// One at a time, in order of arrival.
    Serial,
    /// As soon as possible, beside any others.
    Parallel,
}

impl Concurrency {
    /// Both values.
    pub const ALL: [Self; 2] = [Self::Serial, Self::Parallel];
}
