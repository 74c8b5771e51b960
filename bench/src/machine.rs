//! The machine on which the figures were measured.

use std::{fs, process::Command, thread};

use serde_json::{Value, json};

/// The properties of the machine that the figures depend on.
pub(crate) fn facts() -> Value {
    let cpuinfo = read("/proc/cpuinfo");
    let model = field(&cpuinfo, "model name");
    let meminfo = read("/proc/meminfo");
    json!({
        "cpu": model,
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "memory": field(&meminfo, "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "runc": output_of("runc", &["--version"]).lines().next(),
        "rustc": output_of("rustc", &["--version"]),
    })
}

/// How busy the machine is: the load averages of one, five and fifteen minutes, and processes.
pub(crate) fn load() -> String {
    read("/proc/loadavg").trim().to_owned()
}

/// The output of a program; empty if it fails.
pub(crate) fn output_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| String::new(),
        |ran| String::from_utf8_lossy(&ran.stdout).trim().to_owned(),
    )
}

fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
