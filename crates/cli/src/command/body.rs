//! Request bodies from options.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    args::{CommandOptions, File, Keep, Network, Pair, ShellName, ShellOptions},
    error::{CliError, Exit},
};

/// Maximum size of the standard input of a command. Bytes.
const STDIN_LIMIT: u64 = 131_072;

/// Maximum size of all files of a start. Bytes.
const FILES_LIMIT: u64 = 65_536;

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
    set(&mut body, "merge", options.merge.then_some(true));
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

/// A command line that runs a program with these arguments.
pub(super) fn line(argv: &[String]) -> String {
    let quoted = argv.iter().map(|argument| format!("'{}'", argument.replace('\'', "'\\''")));
    quoted.collect::<Vec<_>>().join(" ")
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

/// The content of files for a start, with the permission bits that they have; none if there are no files.
pub(super) fn files(files: &[File]) -> Result<Option<Vec<Value>>, CliError> {
    let read = files.iter().map(read_file).collect::<Result<Vec<_>, _>>()?;
    if read.iter().map(|(_, content)| content.len() as u64).sum::<u64>() > FILES_LIMIT {
        return Err(CliError::new(Exit::Usage, "the files are larger than 64 KiB in all")
            .hint("copy larger files with `ephemeral cp` when the shell has started"));
    }
    let file = |(file, (mode, content)): (&File, &(u32, Vec<u8>))| {
        json!({
            "path": file.path,
            "mode": format!("{mode:04o}"),
            "base64": BASE64_STANDARD.encode(content),
        })
    };
    Ok((!read.is_empty()).then(|| files.iter().zip(&read).map(file).collect()))
}

/// The permission bits of a file, and its content as far as it can be sent.
fn read_file(file: &File) -> Result<(u32, Vec<u8>), CliError> {
    let failed =
        |error: io::Error| CliError::chain(&format!("can't read {}", file.local.display()), &error);
    let opened = fs::File::open(&file.local).map_err(failed)?;
    let mode = opened.metadata().map_err(failed)?.permissions().mode() & 0o777;
    let mut content = Vec::new();
    opened.take(FILES_LIMIT + 1).read_to_end(&mut content).map_err(failed)?;
    Ok((mode, content))
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
