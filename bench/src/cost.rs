//! P9: the cost of a session besides its task, computed from the calls counted by the end-to-end tests and
//! the price table of the domain.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use domain::{
    cost::{
        Architecture, Calls, Pricing,
        prices::{AS_OF, KEPT_MINUTE_READS, KEPT_SESSION_WRITES, Prices, REQUEST_LOG_GB},
    },
    size::Size,
};
use serde_json::Value;

use crate::{
    Bench,
    figure::{Figure, Target},
};

/// How commands reach shells, and the file to which `scripts/test-aws` writes what it counted then. The first is the
/// default.
const TRANSPORTS: [(&str, &str); 2] = [
    ("the connections that runners open (the default)", "target/e2e/calls-link.json"),
    ("ECS Exec", "target/e2e/calls.json"),
];
/// The invocations of the function behind the connections that are no frames: authorizing, connecting, disconnecting.
const CONNECTION_EVENTS: f64 = 3.0;
/// Lifetime of the sessions in the table, including the stop of their tasks. Minutes.
const LIFE: u64 = 16;
const PRICING: Pricing = Pricing { architecture: Architecture::Arm64, public_address: false };

/// The counted calls of one session.
struct Counted {
    executes: f64,
    /// Calls of our functions to other services.
    aws_calls: f64,
    calls: Calls,
}

pub(crate) fn figures(_: &Bench) -> Result<Vec<Figure>> {
    let Counted { executes, aws_calls, calls } = counted(TRANSPORTS[0].1)?;
    let figure = |what, value, unit, most| Figure {
        id: "P9",
        what,
        value,
        unit,
        peer: None,
        target: Target::AtMost(most),
    };
    let transitions = format!("steps of a session with {executes} executes, {aws_calls} AWS calls");
    let dollars = format!("a thousand of them besides their tasks, prices of {AS_OF}");
    Ok(vec![
        figure(transitions, calls.transitions, "steps", 5.0),
        figure(dollars, 1000.0 * PRICING.calls(&calls), "$", 0.5),
    ])
}

/// The tables of docs/cost.md, one for each transport.
pub(crate) fn tables() -> Result<String> {
    let tables = TRANSPORTS.map(|(transport, path)| table(transport, path));
    let [default, other] = tables;
    Ok(format!("{}\n\n{}\n\n{}", default?, other?, tasks()))
}

fn table(transport: &str, path: &str) -> Result<String> {
    let Counted { executes, calls, .. } = counted(path)?;
    let prices = Prices::of(PRICING.architecture);
    let rows = [
        ("steps of executions", calls.transitions, prices.transition),
        ("DynamoDB write units", calls.write_units, prices.write_unit),
        ("DynamoDB read units", calls.read_units, prices.read_unit),
        ("Lambda GiB s", calls.gib_seconds, prices.function_gib_second),
        ("Lambda invocations", calls.invocations, prices.invocation),
        ("SQS requests", calls.queue_requests, prices.queue_request),
        ("WebSocket messages", calls.socket_messages, prices.socket_message),
        ("minutes of connections", calls.connection_minutes, prices.connection_minute),
        ("HTTP API requests", calls.http_requests, prices.http_request),
        ("events on the bus", calls.bus_events, prices.bus_event),
        ("logs, MB", calls.log_gb * 1000.0, prices.log_gb / 1000.0),
    ];
    let mut lines = vec![
        format!("A session with {executes} executes over {transport}:"),
        String::new(),
        "| what | of one session | $ for 1,000 |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    let dollars = |dollars: f64| format!("{:.3}", 1000.0 * dollars);
    for (what, count, price) in rows.into_iter().filter(|(_, count, _)| *count > 0.0) {
        lines.push(format!("| {what} | {count:.2} | {} |", dollars(count * price)));
    }
    lines.push(format!("| **besides the task** | | **{}** |", dollars(PRICING.calls(&calls))));
    Ok(lines.join("\n"))
}

/// What the tasks of a thousand sessions cost.
fn tasks() -> String {
    let mut lines = vec![
        format!("A task of 0.25 vCPU and 512 MiB for {LIFE} min; prices of {AS_OF}, us-east-1:"),
        String::new(),
        "| task | $ for 1,000 |".to_owned(),
        "|---|---|".to_owned(),
    ];
    let held = Duration::from_mins(LIFE);
    let x86 = Pricing { architecture: Architecture::X86_64, ..PRICING };
    let public = Pricing { public_address: true, ..PRICING };
    for (what, of, spot) in [
        ("arm64", PRICING, false),
        ("arm64 on Spot", PRICING, true),
        ("arm64 with a public address", public, false),
        ("x86_64", x86, false),
    ] {
        let task = 1000.0 * of.task(Size::DEFAULT, spot, held);
        lines.push(format!("| {what} | {task:.3} |"));
    }
    lines.join("\n")
}

fn counted(path: &str) -> Result<Counted> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("{path} is not there; scripts/test-aws counts"))?;
    let counts: Value = serde_json::from_str(&text)?;
    let executes = number(&counts["session"]["executes"])?;
    let runs = counts["lambdaInvocations"].as_object().context("no invocations")?;
    let of = |function: &str, what: &str| runs.get(function).and_then(|run| run[what].as_f64());
    let all = |what| runs.keys().filter_map(|function| of(function, what)).sum::<f64>();
    let invocations = all("count");
    let transitions = number(&counts["transitions"])?;
    ensure!(invocations > 0.0 && transitions > 0.0, "nothing was counted: {counts}");
    let sends = sum(&counts["calls"]["sqs"]);
    // Task events are invocations without a counted call.
    let messages = sends + of("task-events", "count").unwrap_or_default();
    let http_requests = of("api", "count").unwrap_or_default();
    let units = &counts["tableUnits"];
    let posted = sum(&counts["calls"]["execute-api"]);
    let received = of("link", "count").map_or(0.0, |count| count - CONNECTION_EVENTS);
    let calls = Calls {
        http_requests,
        transitions,
        invocations,
        gib_seconds: all("gibSeconds"),
        queue_requests: 3.0 * messages,
        write_units: number(&units["written"])? + KEPT_SESSION_WRITES,
        read_units: number(&units["read"])? + LIFE as f64 * KEPT_MINUTE_READS,
        // Each event is put in a call of its own here.
        bus_events: sum(&counts["calls"]["AWSEvents"]),
        // Each frame of a runner gets an answer.
        socket_messages: posted + 2.0 * received,
        connection_minutes: if received > 0.0 { LIFE as f64 } else { 0.0 },
        log_gb: all("logBytes") / 1e9 + http_requests * REQUEST_LOG_GB,
    };
    let services = counts["calls"].as_object().context("no calls")?;
    Ok(Counted { executes, aws_calls: services.values().map(sum).sum(), calls })
}

fn number(value: &Value) -> Result<f64> {
    value.as_f64().with_context(|| format!("a count is no number: {value}"))
}

/// The sum of all numbers in an object.
fn sum(of: &Value) -> f64 {
    of.as_object().into_iter().flat_map(|all| all.values()).filter_map(Value::as_f64).sum()
}
