//! The metrics of the engine, in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counts of the handlers' calls.
#[derive(Debug)]
pub(super) struct Metrics {
    handlers: Vec<(&'static str, Calls)>,
}

#[derive(Debug, Default)]
struct Calls {
    count: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { handlers: handlers::names().map(|name| (name, Calls::default())).collect() }
    }
}

impl Metrics {
    /// Counts one call.
    pub(super) fn called(&self, handler: &str, took: Duration, failed: bool) {
        let Some((_, calls)) = self.handlers.iter().find(|(name, _)| *name == handler) else {
            return;
        };
        calls.count.fetch_add(1, Relaxed);
        calls.failed.fetch_add(u64::from(failed), Relaxed);
        calls.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Appends these counts to the text.
    pub(super) fn write(&self, text: &mut String) {
        family(text, "ephemeral_handler_seconds", "summary", "Time spent in handlers.");
        for (name, calls) in &self.handlers {
            let (count, micros) = (calls.count.load(Relaxed), calls.micros.load(Relaxed));
            let seconds = Duration::from_micros(micros).as_secs_f64();
            line(text, "ephemeral_handler_seconds_sum", &[("handler", name)], seconds);
            line(text, "ephemeral_handler_seconds_count", &[("handler", name)], count);
        }
        family(text, "ephemeral_handler_failures_total", "counter", "Handlers' calls that failed.");
        for (name, calls) in &self.handlers {
            let failed = calls.failed.load(Relaxed);
            line(text, "ephemeral_handler_failures_total", &[("handler", name)], failed);
        }
    }
}

/// Appends the head of a family of metrics.
pub(super) fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
        .expect("writing to a string never fails");
}

/// Appends one value. The labels are constants of this program and need no escapes.
pub(super) fn line(
    text: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    value: impl std::fmt::Display,
) {
    let labels: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    let labels =
        if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    writeln!(text, "{name}{labels} {value}").expect("writing to a string never fails");
}
