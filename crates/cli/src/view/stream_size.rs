//! How much of an output stream the server keeps.

use serde::Deserialize;

/// The sizes of an output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct StreamSize {
    /// Bytes that the command wrote.
    bytes: u64,
    kept_bytes: u64,
    /// Whether the command wrote more than is kept.
    truncated: bool,
}

impl StreamSize {
    pub(crate) const NOTHING: Self = Self { bytes: 0, kept_bytes: 0, truncated: false };

    /// The remark about bytes that were not kept; none if all were.
    pub(crate) fn cut(&self) -> Option<String> {
        let amount = amount(self.kept_bytes, self.bytes);
        self.truncated.then(|| format!("output cut: {amount} kept; --max-output BYTES keeps more"))
    }

    /// The remarks about these sizes of stdout and stderr.
    pub(crate) fn cuts(sizes: &[Self; 2]) -> Vec<String> {
        let named = ["stdout", "stderr"].into_iter().zip(sizes);
        named.filter_map(|(name, size)| Some(format!("{name}: {}", size.cut()?))).collect()
    }
}

/// The line at the place of a gap in the output.
pub(crate) fn left_out(bytes: u64) -> String {
    let (unit, size) = unit(bytes);
    let amount = if size == 1 { bytes.to_string() } else { tenths(bytes, size) };
    format!("… {amount} {unit} left out …")
}

/// The unit in which an amount of this size is shown, and its size in bytes.
const fn unit(bytes: u64) -> (&'static str, u64) {
    match bytes {
        0..1024 => ("bytes", 1),
        1024..0x10_0000 => ("KiB", 1024),
        _ => ("MiB", 0x10_0000),
    }
}

/// `kept` of `all`, in the unit of `all` unless that hides the difference.
fn amount(kept: u64, all: u64) -> String {
    let (unit, size) = unit(all);
    let (short, long) = (tenths(kept, size), tenths(all, size));
    if unit == "bytes" || short == long || (short == "0.0" && kept > 0) {
        return format!("{kept} of {all} bytes");
    }
    format!("{short} of {long} {unit}")
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn tenths(bytes: u64, unit: u64) -> String {
    format!("{:.1}", bytes as f64 / unit as f64)
}

#[cfg(test)]
mod tests;
