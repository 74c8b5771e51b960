//! The parts of API responses that we print as text. `--json` prints the responses unchanged.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use time::{OffsetDateTime, serde::rfc3339};

mod stream_size;

pub(crate) use stream_size::{StreamSize, left_out};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    pub(crate) job_id: String,
    pub(crate) session_id: String,
    pub(crate) webhook_secret: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub(crate) session_id: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) position: Option<u32>,
    pub(crate) image: Option<String>,
    pub(crate) size: Option<Size>,
    pub(crate) network: Option<String>,
    #[serde(with = "rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(default, with = "rfc3339::option")]
    pub(crate) ready_at: Option<OffsetDateTime>,
    #[serde(default, with = "rfc3339::option")]
    pub(crate) expires_at: Option<OffsetDateTime>,
    #[serde(default, with = "rfc3339::option")]
    pub(crate) ended_at: Option<OffsetDateTime>,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) cost_usd: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Size {
    pub(crate) cpu: u32,
    #[serde(rename = "memoryMiB")]
    pub(crate) memory_mib: u32,
}

/// A process of a command.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunningProcess {
    pub(crate) pid: i32,
    pub(crate) parent_pid: i32,
    pub(crate) job_id: String,
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) arguments_truncated: bool,
    #[serde(with = "rfc3339")]
    pub(crate) started_at: OffsetDateTime,
    cpu_milliseconds: u64,
    pub(crate) memory_bytes: u64,
}

impl RunningProcess {
    pub(crate) fn cpu_time(&self) -> Duration {
        Duration::from_millis(self.cpu_milliseconds)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    pub(crate) job_id: String,
    pub(crate) session_id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    #[serde(with = "rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(default, with = "rfc3339::option")]
    pub(crate) started_at: Option<OffsetDateTime>,
    #[serde(default, with = "rfc3339::option")]
    pub(crate) finished_at: Option<OffsetDateTime>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) error: Option<Error>,
    pub(crate) usage: Option<Usage>,
    #[serde(default)]
    pub(crate) background_processes: Vec<Process>,
    pub(crate) shell: Option<SharedShell>,
    #[serde(default)]
    pub(crate) stdout: StreamSize,
    #[serde(default)]
    pub(crate) stderr: StreamSize,
    pub(crate) terminal: Option<DataChannel>,
}

/// How the terminal of a job is opened. `Debug` does not show the token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DataChannel {
    pub(crate) stream_url: String,
    pub(crate) token_value: String,
}

impl std::fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataChannel").finish_non_exhaustive()
    }
}

/// The shell process in which commands of one name run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SharedShell {
    name: String,
    is_new: Option<bool>,
    has_ended: Option<bool>,
}

/// A process that a command left running.
#[derive(Debug, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) command: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Error {
    pub(crate) code: String,
    pub(crate) message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    wall_ms: u64,
    cpu_ms: u64,
    /// Of the largest process.
    max_rss_bytes: u64,
    /// Of all processes together; not counted everywhere.
    memory_peak_bytes: Option<u64>,
    #[serde(default)]
    oom_kills: u64,
    #[serde(default)]
    leftover_processes: u64,
}

/// A part of an output stream.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    pub(crate) offset: u64,
    pub(crate) text: String,
    pub(crate) encoding: String,
    pub(crate) next_offset: u64,
    #[serde(flatten)]
    pub(crate) size: StreamSize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    #[serde(with = "rfc3339")]
    pub(crate) at: OffsetDateTime,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) to: String,
    pub(crate) actor: String,
    pub(crate) latency_ms: u64,
    pub(crate) cause: Option<String>,
}

impl Session {
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.status.as_str(), "stopped" | "failed")
    }
}

impl Job {
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self.status.as_str(), "queued" | "running")
    }

    /// The exit code for the outcome of the job.
    pub(crate) fn exit(&self) -> u8 {
        let code = match (self.status.as_str(), self.exit_code, self.signal) {
            ("timed_out", _, _) => 124,
            ("failed", _, _) if self.error_code() == "command_not_found" => 127,
            ("failed", _, _) if self.error_code() == "not_executable" => 126,
            ("failed" | "lost", _, _) => 125,
            (_, Some(code), _) => code & 0xff,
            (_, None, Some(signal)) => 128 + signal,
            ("completed", None, None) => 0,
            _ => 125,
        };
        u8::try_from(code).unwrap_or(125)
    }

    /// The part of the outcome that the exit code does not express, if any.
    pub(crate) fn remark(&self) -> Option<String> {
        match (&self.error, self.status.as_str()) {
            (Some(error), status) => Some(format!("{status}: {} ({})", error.message, error.code)),
            (None, "timed_out") => Some("timed_out: the command exceeded its timeout".to_owned()),
            (None, status @ ("cancelled" | "lost" | "failed")) => Some(status.to_owned()),
            (None, _) => None,
        }
    }

    /// The remarks about output that the server did not keep.
    pub(crate) fn cuts(&self) -> Vec<String> {
        // What a terminal has shown was received already.
        if self.kind == "terminal" {
            return Vec::new();
        }
        StreamSize::cuts(&[self.stdout, self.stderr])
    }

    fn error_code(&self) -> &str {
        self.error.as_ref().map_or("", |error| &error.code)
    }
}

impl SharedShell {
    pub(crate) fn summary(&self) -> String {
        let is_new = self.is_new.unwrap_or_default().then_some(", started for this command");
        let has_ended = self.has_ended.unwrap_or_default().then_some(", ended with it");
        format!("{}{}{}", self.name, is_new.unwrap_or_default(), has_ended.unwrap_or_default())
    }

    /// That the state of earlier commands is lost, if it is.
    pub(crate) fn remark(&self) -> Option<String> {
        let name = &self.name;
        self.has_ended.unwrap_or_default().then(|| {
            format!("the shell {name} ended with this command; the next one starts a new shell")
        })
    }
}

impl Usage {
    pub(crate) fn summary(&self) -> String {
        use crate::time_format::fine;
        let mut summary = format!(
            "{} wall, {} cpu, {:.1} MiB at most",
            fine(Duration::from_millis(self.wall_ms)),
            fine(Duration::from_millis(self.cpu_ms)),
            mib(self.memory_peak_bytes.unwrap_or(self.max_rss_bytes)),
        );
        if self.oom_kills > 0 {
            summary.push_str(&format!(", {} killed for memory", processes(self.oom_kills)));
        }
        if self.leftover_processes > 0 {
            summary.push_str(&format!(", {} left at its end", processes(self.leftover_processes)));
        }
        summary
    }
}

fn processes(count: u64) -> String {
    if count == 1 { "1 process".to_owned() } else { format!("{count} processes") }
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests;
