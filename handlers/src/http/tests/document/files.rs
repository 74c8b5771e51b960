//! The operations on files of a session.

use serde_json::{Value, json};

use super::{
    Schemas,
    operation::{JSON, Operation, files, get, post},
};
use crate::http::{
    accepted::Accepted,
    fields::schema_of,
    files::{
        ArchiveView, ListQuery, ListView, RemoveQuery, StoredFileView, UnpackQuery, UploadRequest,
        UploadView, WriteQuery, path_only,
    },
    wait::WaitQuery,
};

const BYTES: &str = "application/octet-stream";
const TAR: &str = "application/x-tar";
const ACCEPT_ENCODING: &str = "The archive is compressed by zstd or gzip, as the weights prefer it; of two with the \
    same weight by zstd. Where requests for files are jobs, by gzip only.";
const CONTENT_ENCODING: &str = "zstd, gzip, or absent. The window of zstd has at most 8 MiB, which zstd -19 needs. Where \
    requests for files are jobs, gzip only.";
const IF_MATCH: &str =
    "ETags of what is wanted. Refused with 400 where requests for files are jobs.";
const IF_UNMODIFIED: &str =
    "Last-Modified of what is wanted. Refused with 400 where requests for files are jobs.";
const FILES: &str = "/v1/sessions/{id}/files";
const ARCHIVE: &str = "/v1/sessions/{id}/files/archive";

pub(super) fn all(schemas: &mut Schemas) -> Vec<(&'static str, &'static str, Value)> {
    let stored = schemas.of::<StoredFileView>();
    let accepted = schemas.of::<Accepted<'_>>();
    let (list, unpacked) = (schemas.of::<ListView>(), schemas.of::<ArchiveView>());
    let read = files("get", FILES, "readFile", "A file of the session's shell, or a part of it.")
        .query(path_only)
        .parameter(request_header("Range", "One range of bytes."))
        .parameter(request_header("If-Range", "An ETag: another one makes Range void."))
        .parameter(request_header("If-None-Match", "ETags of what is known already."))
        .parameter(request_header("If-Modified-Since", "Last-Modified of what is known already."))
        .parameter(request_header("If-Match", IF_MATCH))
        .parameter(request_header("If-Unmodified-Since", IF_UNMODIFIED))
        .problems(&[412, 416])
        .response(206, "The part.", Some((BYTES, json!({}))))
        .response(304, "The file is known already.", None)
        .response(200, "The file.", Some((BYTES, json!({}))));
    vec![
        with_headers(read).may_be_job(&accepted),
        files("put", FILES, "writeFile", "Replaces or creates a file, with its directories.")
            .query(WriteQuery::read)
            .bytes(BYTES, "The content, up to 1 GiB. If it breaks off, the old file stays.")
            .problems(&[413, 415])
            .response(201, "The file was created.", Some((JSON, stored.clone())))
            .response(200, "The file was replaced.", Some((JSON, stored.clone())))
            .may_be_job(&accepted),
        files("delete", FILES, "removeFile", "Removes a file or a directory.")
            .query(RemoveQuery::read)
            .response(204, "It is removed.", None)
            .may_be_job(&accepted),
        files("get", "/v1/sessions/{id}/files/list", "listFiles", "The content of a directory.")
            .query(ListQuery::read)
            .response(200, "The entries.", Some((JSON, list.clone())))
            .may_be_job(&accepted),
        files("get", ARCHIVE, "readArchive", "A directory's content, or a file, as a tar archive.")
            .query(path_only)
            .parameter(request_header("Accept-Encoding", ACCEPT_ENCODING))
            .response(200, "The archive.", Some((TAR, json!({}))))
            .may_be_job(&accepted),
        files("put", ARCHIVE, "writeArchive", "Unpacks a tar archive into a directory.")
            .query(UnpackQuery::read)
            .parameter(request_header("Content-Encoding", CONTENT_ENCODING))
            .bytes(TAR, "The archive, up to 1 GiB. Each file is replaced as a whole.")
            .problems(&[413, 415])
            .response(200, "All entries are unpacked.", Some((JSON, unpacked.clone())))
            .may_be_job(&accepted),
        post(
            "/v1/sessions/{id}/files/uploads",
            "createUpload",
            "Where to put the bytes of a file or of an archive, if the API does not take them itself.",
        )
        .body(schemas.body("CreateUpload", schema_of(UploadRequest::read)))
        .problems(&[403, 409, 410, 501])
        .response(201, "PUT the bytes to the URL.", Some((JSON, schemas.of::<UploadView>())))
        .without_key()
        .done(),
        result(&accepted, &[stored, list, unpacked]),
    ]
}

/// The response to a request that was accepted as a job.
fn result(accepted: &Value, answers: &[Value]) -> (&'static str, &'static str, Value) {
    let result = get(
        "/v1/jobs/{id}/result",
        "getResult",
        "The response to a request for files that was accepted as a job.",
    )
    .query(WaitQuery::read)
    .problems(&[403, 404, 409, 410, 501, 507])
    .response(303, "The bytes are at this URL, for 15 minutes. Ask again for another one.", None)
    .response(204, "The path is removed.", None)
    .response(201, "The file was created.", Some((JSON, answers[0].clone())))
    .response(200, "The response to the request.", Some((JSON, json!({"anyOf": answers}))));
    with_headers_of(result, &["303"])
        .response_header("303", "Location", json!({"schema": {"type": "string", "format": "uri"}}))
        .accepted_job(accepted)
}

impl Operation {
    /// Adds that the response may be a job instead.
    fn may_be_job(self, accepted: &Value) -> (&'static str, &'static str, Value) {
        self.accepted_as_job(
            "The API has no way to shells itself. links.result has the response, once the job has ended.",
            accepted,
        )
    }
}

fn request_header(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "header", "schema": {"type": "string"}, "description": description
    })
}

/// Adds the headers of a file to its responses.
fn with_headers(operation: Operation) -> Operation {
    with_headers_of(operation, &["200", "206", "304"])
}

fn with_headers_of(operation: Operation, statuses: &[&str]) -> Operation {
    let text =
        |description: &str| json!({"schema": {"type": "string"}, "description": description});
    statuses.iter().copied().fold(operation, |operation, status| {
        operation
            .response_header(status, "ETag", text("Changes with the content."))
            .response_header(status, "Last-Modified", text("When the content was changed last."))
            .response_header(status, "File-Mode", text("Permission bits in octal."))
    })
}
