//! Text tables.

use console::{Alignment, measure_text_width, pad_str, style};

/// Formats rows in columns as wide as their widest cell, below a heading.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| measure_text_width(cell)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(measure_text_width(cell));
        }
    }
    let heading: Vec<String> =
        heading.iter().map(|cell| style(cell).bold().for_stdout().to_string()).collect();
    let lines = std::iter::once(&heading).chain(rows).map(|row| line(row, &widths));
    lines.collect::<Vec<_>>().join("\n")
}

/// Formats names and values, one per line. Entries without a value are left out.
pub(crate) fn properties(properties: &[(&str, Option<String>)]) -> String {
    let width = properties.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let known =
        properties.iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value)));
    let lines = known.map(|(name, value)| format!("{name:<width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths);
    let padded = cells.map(|(cell, width)| pad_str(cell, *width, Alignment::Left, None));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests;
