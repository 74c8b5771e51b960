//! Values as text in the form of Java's `String.valueOf`, which AWS uses in `States.Format`.

use serde_json::{Number, Value};
use std::fmt::Write;

/// Appends a value: strings without quotes, arrays as `[1, a]`, objects as `{k=1, l=[]}`. The
/// recursion is limited, because the depth of all data is.
pub(super) fn write(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(bool) => text.push_str(if *bool { "true" } else { "false" }),
        Value::Number(number) => write_number(number, text),
        Value::String(string) => text.push_str(string),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            text.push('{');
            for (at, (key, value)) in map.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                text.push_str(key);
                text.push('=');
                write(value, text);
            }
            text.push('}');
        }
    }
}

/// Appends a number; one with a fraction in the form of Java's `Double.toString`.
fn write_number(number: &Number, text: &mut String) {
    let float = number.as_f64().filter(|_| number.is_f64());
    let written = match float {
        Some(float) if float != 0.0 && !(1e-3..1e7).contains(&float.abs()) => {
            let scientific = format!("{float:e}");
            let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
            let fraction = if digits.contains('.') { "" } else { ".0" };
            write!(text, "{digits}{fraction}E{exponent}")
        }
        Some(float) => write!(text, "{float:?}"),
        None => write!(text, "{number}"),
    };
    written.expect("writing to a string does not fail");
}
