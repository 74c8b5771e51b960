//! Request bodies from options.

use std::io::{self, Read};

use serde_json::{Map, Value, json};

use crate::{
    args::{CommandOptions, Keep, Network, Pair, ShellName, ShellOptions},
    error::{CliError, Exit},
};

/// Maximum size of the standard input of a command. Bytes.
const STDIN_LIMIT: u64 = 131_072;

/// The body of a start request.
pub(super) fn start(options: ShellOptions) -> Map<String, Value> {
    let network = options.network.map(|network| match network {
        Network::None => "none",
        Network::Egress => "egress",
    });
    let mut body = Map::new();
    set(&mut body, "image", options.image);
    let mut size = Map::new();
    set(&mut size, "cpu", options.cpu);
    set(&mut size, "memoryMiB", options.memory);
    set(&mut size, "diskMiB", options.disk);
    if !size.is_empty() {
        body.insert("size".into(), size.into());
    }
    set(&mut body, "ttlSeconds", options.ttl.map(|ttl| ttl.0));
    set(&mut body, "env", pairs(options.env));
    set(&mut body, "network", network);
    set(&mut body, "spot", options.spot.then_some(true));
    body
}

/// The part of a body that describes a command.
pub(super) fn command(options: CommandOptions) -> Result<Map<String, Value>, CliError> {
    let mut body = Map::new();
    let command = match <[String; 1]>::try_from(options.argv) {
        Ok([line]) => json!(line),
        Err(argv) => json!(argv),
    };
    body.insert("command".into(), command);
    set(&mut body, "cwd", options.cwd);
    set(&mut body, "user", options.user);
    set(&mut body, "timeoutSeconds", options.timeout.map(|ttl| ttl.0));
    set(&mut body, "maxOutputBytes", options.max_output);
    let keep = options.keep.map(|keep| match keep {
        Keep::Head => "head",
        Keep::Tail => "tail",
        Keep::Both => "both",
    });
    set(&mut body, "keep", keep);
    let shell = options.shell_name.map(|shell| match shell {
        ShellName::Bash => "bash",
        ShellName::Sh => "sh",
    });
    set(&mut body, "shell", shell);
    if options.stdin {
        set(&mut body, "stdin", Some(stdin()?));
    }
    Ok(body)
}

/// Sets a field, if there is a value.
pub(super) fn set(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

/// An object from the pairs; none if there are no pairs.
pub(super) fn pairs(pairs: Vec<Pair>) -> Option<Map<String, Value>> {
    let object: Map<_, _> =
        pairs.into_iter().map(|Pair(key, value)| (key, Value::String(value))).collect();
    (!object.is_empty()).then_some(object)
}

fn stdin() -> Result<String, CliError> {
    let mut text = String::new();
    let read = io::stdin().take(STDIN_LIMIT + 1).read_to_string(&mut text);
    read.map_err(|error| {
        CliError::chain("can't read standard input", &error).hint("only UTF-8 text is supported")
    })?;
    if text.len() as u64 > STDIN_LIMIT {
        return Err(CliError::new(Exit::Usage, "standard input is larger than 128 KiB")
            .hint("send it in parts, or let the command fetch it"));
    }
    Ok(text)
}
