//! The files of a start, which are written before the session is ready.

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::file::NewFile;
use serde_json::{Map, Value, json};

use crate::{
    Policy,
    http::{
        fields::object,
        files::{MAX_PATH, mode},
        rule::{FieldError, NO_NUL, Rule, bounded, string},
    },
};

/// The most files of a start.
const MAX_FILES: usize = 16;
/// The most bytes of the content of all of them. Their record is read and written several times until the
/// session is ready, and a store limits its size.
const MAX_BYTES: usize = 64 * 1024;

/// `[{path, content | base64, mode?}]`, where this deployment can write them.
pub(super) fn files(policy: &Policy) -> Rule<impl Fn(Value) -> Result<Vec<NewFile>, FieldError>> {
    let read = move |value| match &policy.refused_start_files {
        Some(reason) => Err(FieldError::new(format!("can't be written here: {reason}"))),
        None => read_files(value),
    };
    Rule::new(read, || {
        let path = json!({
            "type": "string", "minLength": 1, "maxLength": MAX_PATH, "pattern": NO_NUL,
            "description": "A relative one counts from the home directory. Directories are created.",
        });
        let content = json!({"type": "string", "maxLength": MAX_BYTES, "description": "Text."});
        let base64 = json!({
            "type": "string",
            "maxLength": MAX_BYTES.div_ceil(3) * 4,
            "contentEncoding": "base64",
            "description": "Bytes, with padding.",
        });
        let file = json!({
            "type": "object",
            "properties": {"path": path, "content": content, "base64": base64, "mode": mode().schema},
            "required": ["path"],
            "oneOf": [{"required": ["content"]}, {"required": ["base64"]}],
            "additionalProperties": false,
        });
        json!({
            "type": "array",
            "maxItems": MAX_FILES,
            "items": file,
            "description": format!(
                "Small files, at most {MAX_BYTES} bytes in all. They are written as the user of commands \
                 before the session is ready. If one can't be, the start fails with files_refused."
            ),
        })
    })
}

fn read_files(value: Value) -> Result<Vec<NewFile>, FieldError> {
    let Value::Array(values) = value else { return Err(FieldError::new("must be an array")) };
    if values.len() > MAX_FILES {
        return Err(FieldError::new(format!("must not have more than {MAX_FILES} files")));
    }
    let (mut files, mut paths, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (index, value) in values.into_iter().enumerate() {
        let below = |error: FieldError| error.below(index.to_string());
        let (file, size) = object(value).and_then(read_file).map_err(below)?;
        bytes += size;
        let path = plain(&file.path);
        check_path(&path, &paths).map_err(|error| below(error.below("path")))?;
        paths.push(path);
        files.push(file);
    }
    if bytes > MAX_BYTES { Err(FieldError::too_large(MAX_BYTES)) } else { Ok(files) }
}

/// A path without what has no meaning in it.
fn plain(path: &str) -> String {
    let root = if path.starts_with('/') { "/" } else { "" };
    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    format!("{root}{}", names.collect::<Vec<_>>().join("/"))
}

/// Refuses a path on which another file is written: the files are written at once, so none may take the place
/// of another, or need it as a directory.
fn check_path(path: &str, others: &[String]) -> Result<(), FieldError> {
    let is_below =
        |path: &str, file: &str| path.strip_prefix(file).is_some_and(|rest| rest.starts_with('/'));
    let conflict = others.iter().enumerate().find_map(|(index, other)| {
        if path == other {
            Some(format!("{path:?} is the path of the file /files/{index} too"))
        } else if is_below(path, other) {
            Some(format!(
                "{path:?} needs the directory {other:?}, which is the file /files/{index}"
            ))
        } else if is_below(other, path) {
            Some(format!("{path:?} is a directory of {other:?}, the file /files/{index}"))
        } else {
            None
        }
    });
    conflict.map_or(Ok(()), |detail| Err(FieldError::new(detail)))
}

/// A file, and the size of its content.
fn read_file(mut fields: Map<String, Value>) -> Result<(NewFile, usize), FieldError> {
    let mut take = |name: &str| fields.remove(name).filter(|value| !value.is_null());
    let (path, content, base64) = (take("path"), take("content"), take("base64"));
    let mode_value = take("mode");
    let path = path.ok_or_else(|| FieldError::new("is required").below("path"))?;
    let path = bounded(path, MAX_PATH).map_err(|error| error.below("path"))?;
    if path.is_empty() {
        return Err(FieldError::new("must not be empty").below("path"));
    }
    if matches!(path.rsplit('/').next(), Some("" | "." | "..")) {
        return Err(FieldError::new("must name a file, not a directory").below("path"));
    }
    let (base64, size) = match (content, base64) {
        (Some(content), None) => {
            let content = string(content).map_err(|error| error.below("content"))?;
            (STANDARD.encode(&content), content.len())
        }
        (None, Some(base64)) => {
            let base64 = string(base64).map_err(|error| error.below("base64"))?;
            let decoded = STANDARD.decode(&base64);
            let error = || FieldError::new("must be base64 with padding").below("base64");
            let size = decoded.map_err(|_| error())?.len();
            (base64, size)
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(FieldError::new("must have either content or base64"));
        }
    };
    let mode = mode_value.map(mode().read).transpose().map_err(|error| error.below("mode"))?;
    match fields.into_iter().next() {
        Some((name, _)) => {
            let name: String = name.chars().take(MAX_NAME).collect();
            Err(FieldError::new("is unknown").below(name))
        }
        None => Ok((NewFile { path, mode, base64 }, size)),
    }
}

/// The most characters of an unknown field's name that an answer repeats.
const MAX_NAME: usize = 128;
