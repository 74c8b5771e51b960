//! A measured figure with its target, and the table of all figures.

use std::time::Duration;

use serde_json::{Value, json};

/// Whether smaller or larger values are better.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The name of the peer and its value in the same unit.
    pub(crate) peer: Option<(&'static str, f64)>,
    /// The limit for the ratio if there is a peer, else for the value.
    pub(crate) target: Target,
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        self.peer.map(|(_, peer)| self.value / peer)
    }

    fn reached(&self) -> bool {
        let judged = self.ratio().unwrap_or(self.value);
        match self.target {
            Target::AtMost(most) => judged <= most,
            Target::AtLeast(least) => judged >= least,
        }
    }

    fn target(&self) -> String {
        match self.target {
            Target::AtMost(most) => format!("<= {}", number(most)),
            Target::AtLeast(least) => format!(">= {}", number(least)),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "peer": self.peer.map(|(name, value)| json!({"name": name, "value": value})),
            "ratio": self.ratio(),
            "target": self.target(),
            "reached": self.reached(),
        })
    }

    fn cells(&self) -> [String; 7] {
        let peer = self.peer.map(|(name, value)| format!("{} ({name})", number(value)));
        [
            self.id.to_owned(),
            self.what.clone(),
            format!("{} {}", number(self.value), self.unit),
            peer.unwrap_or_default(),
            self.ratio().map(number).unwrap_or_default(),
            self.target(),
            if self.reached() { "yes" } else { "no" }.to_owned(),
        ]
    }
}

/// A Markdown table with aligned columns.
pub(crate) fn table(figures: &[Figure]) -> String {
    let heading = ["#", "what", "ours", "peer", "ratio", "target", "reached"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heading).chain(figures.iter().map(Figure::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..7).map(width).collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut lines: Vec<_> = rows.iter().map(line).collect();
    lines.insert(1, format!("| {} |", rule.join(" | ")));
    lines.join("\n")
}

/// The quantile of the durations, in milliseconds.
pub(crate) fn percentile(mut spans: Vec<Duration>, share: f64) -> f64 {
    spans.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few hundred spans"
    )]
    let index = ((spans.len() as f64 * share).ceil() as usize).clamp(1, spans.len()) - 1;
    spans[index].as_secs_f64() * 1000.0
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
