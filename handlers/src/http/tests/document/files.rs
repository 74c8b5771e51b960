//! The operations on files of a session.

use serde_json::{Value, json};

use super::{
    Schemas,
    operation::{JSON, files},
};
use crate::http::files::{
    ArchiveView, ListQuery, ListView, RemoveQuery, StoredFileView, WriteQuery, path_only,
};

const BYTES: &str = "application/octet-stream";
const TAR: &str = "application/x-tar";
const FILES: &str = "/v1/sessions/{id}/files";
const ARCHIVE: &str = "/v1/sessions/{id}/files/archive";

pub(super) fn all(schemas: &mut Schemas) -> Vec<(&'static str, &'static str, Value)> {
    let stored = schemas.of::<StoredFileView>();
    let read = files("get", FILES, "readFile", "A file of the session's shell, or a part of it.")
        .query(path_only)
        .parameter(request_header("Range", "One range of bytes."))
        .parameter(request_header("If-Range", "An ETag: another one makes Range void."))
        .parameter(request_header("If-None-Match", "ETags of what is known already."))
        .problems(&[416])
        .response(206, "The part.", Some((BYTES, json!({}))))
        .response(304, "The file has one of these ETags.", None)
        .response(200, "The file.", Some((BYTES, json!({}))));
    vec![
        with_headers(read).done(),
        files("put", FILES, "writeFile", "Replaces or creates a file, with its directories.")
            .query(WriteQuery::read)
            .bytes(BYTES, "The content, up to 1 GiB. If it breaks off, the old file stays.")
            .problems(&[413, 415])
            .response(201, "The file was created.", Some((JSON, stored.clone())))
            .ok("The file was replaced.", stored),
        files("delete", FILES, "removeFile", "Removes a file or a directory.")
            .query(RemoveQuery::read)
            .response(204, "It is removed.", None)
            .done(),
        files("get", "/v1/sessions/{id}/files/list", "listFiles", "The content of a directory.")
            .query(ListQuery::read)
            .ok("The entries.", schemas.of::<ListView>()),
        files("get", ARCHIVE, "readArchive", "A directory's content, or a file, as a tar archive.")
            .query(path_only)
            .parameter(request_header("Accept-Encoding", "The archive is compressed for gzip."))
            .response(200, "The archive.", Some((TAR, json!({}))))
            .done(),
        files("put", ARCHIVE, "writeArchive", "Unpacks a tar archive into a directory.")
            .query(path_only)
            .parameter(request_header("Content-Encoding", "gzip, or absent."))
            .bytes(TAR, "The archive, up to 1 GiB. Each file is replaced as a whole.")
            .problems(&[413, 415])
            .ok("All entries are unpacked.", schemas.of::<ArchiveView>()),
    ]
}

fn request_header(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "header", "schema": {"type": "string"}, "description": description
    })
}

/// Adds the headers of a file to its responses.
fn with_headers(operation: super::operation::Operation) -> super::operation::Operation {
    let text =
        |description: &str| json!({"schema": {"type": "string"}, "description": description});
    ["200", "206", "304"].into_iter().fold(operation, |operation, status| {
        operation
            .response_header(status, "ETag", text("Changes with the content."))
            .response_header(status, "Last-Modified", text("When the content was changed last."))
            .response_header(status, "File-Mode", text("Permission bits in octal."))
    })
}
