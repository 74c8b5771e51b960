//! The log: one JSON object a line, on standard error, which Lambda collects.

use std::{error::Error, fmt, io::Write};

use domain::ports::Clock;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, Targets, filter_fn},
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::variable::Variables;

/// The crates whose words are ours. What others say below `info` may hold whole requests.
const OURS: [&str; 8] =
    ["aws", "bootstrap", "clock", "domain", "handlers", "shell", "ssm", "webhooks"];

/// Logs from here on, as much as `RUST_LOG` says, or `info`.
pub fn begin(variables: &Variables) {
    // Somebody else may have begun before: then they log.
    let _begun = subscriber(variables.optional("RUST_LOG"), |line| {
        // Nobody is left to be told.
        let _closed = std::io::stderr().write_all(line.as_bytes());
    })
    .try_init();
}

fn subscriber(
    wished: Option<&str>,
    write: impl Fn(&str) + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    let wished = wished.and_then(|wished| wished.parse::<Targets>().ok());
    let wished = wished.unwrap_or_else(|| Targets::new().with_default(Level::INFO));
    tracing_subscriber::registry().with(JsonLines(write)).with(wished).with(discreet())
}

fn discreet() -> FilterFn {
    filter_fn(|metadata| {
        let room = metadata.target().split("::").next().unwrap_or_default();
        *metadata.level() <= Level::INFO || OURS.contains(&room)
    })
}

/// Hands each line to this.
struct JsonLines<W>(W);

/// A span's fields, or an event's.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        line.insert("time".into(), adapters::clock::SystemClock.now().to_string().into());
        line.insert("level".into(), event.metadata().level().as_str().into());
        line.insert("target".into(), event.metadata().target().into());
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.extend(fields.0.clone());
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.extend(fields.0);
        let mut line = Value::Object(line).to_string();
        line.push('\n');
        (self.0)(&line);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    /// With all that led to it.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut words = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            words = format!("{words}: {error}");
            cause = error.source();
        }
        self.0.insert(field.name().to_owned(), words.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests;
