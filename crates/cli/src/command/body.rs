//! What the options say, as the API wants it.

use std::io::{self, Read};

use serde_json::{Map, Value, json};

use crate::{
    args::{How, Network, Pair, Wish},
    failure::{Exit, Failure},
};

/// Most that a command can be given on its standard input. Bytes.
const STDIN_LIMIT: u64 = 131_072;

/// The body of a start.
pub(super) fn start(wish: Wish) -> Map<String, Value> {
    let network = wish.network.map(|network| match network {
        Network::None => "none",
        Network::Egress => "egress",
    });
    let mut body = Map::new();
    set(&mut body, "image", wish.image);
    if let (Some(cpu), Some(memory)) = (wish.cpu, wish.memory) {
        body.insert("size".into(), json!({"cpu": cpu, "memoryMiB": memory}));
    }
    set(&mut body, "ttlSeconds", wish.ttl.map(|span| span.0));
    set(&mut body, "env", pairs(wish.env));
    set(&mut body, "network", network);
    set(&mut body, "spot", wish.spot.then_some(true));
    body
}

/// The part of a body that says what to run.
pub(super) fn how(how: How) -> Result<Map<String, Value>, Failure> {
    let mut body = Map::new();
    let command = match <[String; 1]>::try_from(how.command) {
        Ok([line]) => json!(line),
        Err(argv) => json!(argv),
    };
    body.insert("command".into(), command);
    set(&mut body, "cwd", how.cwd);
    set(&mut body, "user", how.user);
    set(&mut body, "timeoutSeconds", how.timeout.map(|span| span.0));
    set(&mut body, "maxOutputBytes", how.max_output);
    if how.stdin {
        set(&mut body, "stdin", Some(stdin()?));
    }
    Ok(body)
}

/// Puts a value in, if there is one.
pub(super) fn set(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

/// An object of the pairs, if there are any.
pub(super) fn pairs(pairs: Vec<Pair>) -> Option<Map<String, Value>> {
    let object: Map<_, _> =
        pairs.into_iter().map(|Pair(key, value)| (key, Value::String(value))).collect();
    (!object.is_empty()).then_some(object)
}

fn stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().take(STDIN_LIMIT + 1).read_to_string(&mut text);
    read.map_err(|error| {
        Failure::chain("can't read standard input", &error).hint("it must be UTF-8 text")
    })?;
    if text.len() as u64 > STDIN_LIMIT {
        return Err(Failure::new(Exit::Usage, "standard input is larger than 128 KiB")
            .hint("send it in pieces, or have the command fetch it"));
    }
    Ok(text)
}
