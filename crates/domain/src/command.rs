//! What a caller wants to have run. It travels as data; nothing is spliced into it.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Secret;

/// The command of an execute job with all that surrounds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What to run.
    pub program: Secret<Program>,
    /// Working directory; the user's home if absent.
    pub cwd: Option<Secret<String>>,
    /// Variables on top of the session's.
    pub env: Secret<BTreeMap<String, String>>,
    /// User of the image that runs it; never root.
    pub user: Option<String>,
    /// What the command reads from its standard input; then end of file.
    pub stdin: Secret<Vec<u8>>,
    /// How long it may run.
    pub timeout: Duration,
    /// Whether it waits for the jobs before it.
    pub concurrency: Concurrency,
    /// How much of stdout, and of stderr, is kept. Bytes.
    pub max_output_bytes: u64,
}

/// A line for the shell or a program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// Run as `sh -c LINE`.
    Shell(String),
    /// Run as it stands; the first element is the program.
    Argv(Vec<String>),
}

/// How a job stands to the others of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Concurrency {
    /// In order of arrival, one at a time.
    Serial,
    /// At once.
    Parallel,
}

impl Concurrency {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Serial, Self::Parallel];
}
