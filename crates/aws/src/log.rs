//! The log: one JSON object per line on standard error, which Lambda sends to CloudWatch.

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

/// The crates of this workspace. Other crates may log whole requests below level `info`.
const OWN_CRATES: [&str; 7] =
    ["adapters", "aws", "bootstrap", "domain", "handlers", "runner", "ssm"];

/// Installs the subscriber with the filter in `RUST_LOG`; the default is `info`. Does nothing if another
/// subscriber is installed.
pub fn init(variables: &Variables) {
    let _already_installed = subscriber(variables.optional("RUST_LOG"), |line| {
        // There is no other place to report a closed standard error.
        let _closed = std::io::stderr().write_all(line.as_bytes());
    })
    .try_init();
}

fn subscriber(
    filter: Option<&str>,
    write: impl Fn(&str) + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    let filter = filter.and_then(|filter| filter.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(Level::INFO));
    tracing_subscriber::registry().with(JsonLines(write)).with(filter).with(own_below_info())
}

/// Lets events below `info` pass only from the crates of this workspace.
fn own_below_info() -> FilterFn {
    filter_fn(|metadata| {
        let krate = metadata.target().split("::").next().unwrap_or_default();
        *metadata.level() <= Level::INFO || OWN_CRATES.contains(&krate)
    })
}

/// A layer that passes each line to a writer.
struct JsonLines<W>(W);

/// The fields of a span or an event.
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
        // Lambda takes the level of a line only with a valid `timestamp`; otherwise it assigns INFO
        // (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>).
        line.insert("timestamp".into(), adapters::clock::SystemClock.now().to_string().into());
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

    /// Records the error with the chain of its sources.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut message = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        self.0.insert(field.name().to_owned(), message.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests;
