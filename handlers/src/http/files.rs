//! `/v1/sessions/{id}/files`: reads, writes, removes and lists files of a ready session's shell.
//! `…/files/archive`: whole directories as tar archives.
//!
//! These requests reach a shell while they are answered, as those for processes do. A repeated one has the
//! same effect. The bytes pass through in pieces; a request that breaks leaves what was there before.
//!
//! In deployments whose API has no way to shells, they are jobs instead (`files/job.rs`): the bytes go through
//! a store of objects, to which clients and shells get URLs.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    SessionId,
    file::{FileAction, FilePath, FileReply, ListedFile},
};
use serde_json::json;

use super::{
    extract::{Id, Params, User},
    problem::{Code, Problem},
    reply::Reply,
    rule::{Rule, digits, one_of},
};
use crate::Env;

mod conditions;
mod download;
mod encoding;
mod job;
mod shell;
mod upload;
mod view;

pub(super) use download::{get, pack};
use encoding::Encoding;
#[cfg(test)]
pub(super) use job::{UploadRequest, UploadView};
pub(super) use job::{result, upload};
use shell::ShellFiles;
#[cfg(test)]
pub(super) use upload::{UnpackQuery, WriteQuery};
pub(super) use upload::{mode, put, unpack};
pub(super) use view::{ArchiveView, FileView, ListView, StoredFileView};

/// The largest file, and the largest archive, that a request may send. Bytes.
const MAX_UPLOAD: u64 = 1 << 30;
/// The longest path. Bytes.
pub(super) const MAX_PATH: usize = 4095;
/// The deepest list.
const MAX_DEPTH: u32 = 32;
/// The most entries of a list.
const MAX_ENTRIES: u32 = 10_000;
/// The most bytes of the paths and targets of a list. The shell sends no more; this holds whatever it sends.
const MAX_LIST: usize = 2 << 20;
/// The most entries of a list unless the request says otherwise.
const DEFAULT_ENTRIES: u32 = 1000;

/// Reads the path of a request that has no other parameter.
pub(super) fn path_only(params: &mut Params) -> Option<FilePath> {
    params.path("path", path_rule())
}

fn path_rule() -> Rule<()> {
    let schema = json!({"type": "string", "minLength": 1, "maxLength": MAX_PATH});
    Rule::new((), || schema).describe(
        "A path in the shell; a relative one counts from the home directory. Percent-encoded bytes need \
         not be UTF-8.",
    )
}

/// What a request to remove asks for.
pub(super) struct RemoveQuery {
    path: Option<FilePath>,
    recursive: bool,
}

impl RemoveQuery {
    pub(super) fn read(params: &mut Params) -> Self {
        let path = path_only(params);
        let recursive = one_of(&["true", "false"]).describe("Remove a directory with its content.");
        let recursive = params.with_default("recursive", recursive, "false") == "true";
        Self { path, recursive }
    }
}

pub(super) async fn remove(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let RemoveQuery { path, recursive } = params.read(RemoveQuery::read)?;
    conditions::refuse(&headers)?;
    let action = FileAction::Remove { recursive };
    if env.transfers.is_some() {
        return job::accept(&env, user, id, path, action, None).await;
    }
    let mut shell = ShellFiles::open(&env, &user, id, path, action).await?;
    shell.done().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Which part of a tree is wanted.
pub(super) struct ListQuery {
    path: Option<FilePath>,
    depth: u32,
    limit: u32,
}

impl ListQuery {
    pub(super) fn read(params: &mut Params) -> Self {
        let path = path_only(params);
        let depth = digits(1..=MAX_DEPTH)
            .describe("1 lists the directory, 2 also the directories in it, and so on.");
        let depth = params.with_default("depth", depth, 1);
        let limit = digits(1..=MAX_ENTRIES).describe("The most entries.");
        let limit = params.with_default("limit", limit, DEFAULT_ENTRIES);
        Self { path, depth, limit }
    }
}

pub(super) async fn list(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
) -> Result<Response, Problem> {
    let ListQuery { path, depth, limit } = params.read(ListQuery::read)?;
    let action = FileAction::List { depth, limit };
    if env.transfers.is_some() {
        return job::accept(&env, user, id, path, action, None).await;
    }
    let mut shell = ShellFiles::open(&env, &user, id, path, action).await?;
    let mut list = Listing::new(limit);
    loop {
        if let Some(view) = list.add(shell.next().await?)? {
            return Ok(Reply::ok(&view).into_response());
        }
    }
}

/// A list of which not all entries have come.
struct Listing {
    entries: Vec<FileView>,
    bytes: usize,
    limit: usize,
}

impl Listing {
    const fn new(limit: u32) -> Self {
        Self { entries: Vec::new(), bytes: 0, limit: limit as usize }
    }

    /// Adds what the shell has replied; the list once it is complete.
    fn add(&mut self, reply: FileReply) -> Result<Option<ListView>, Problem> {
        match reply {
            FileReply::Entries(more) if self.entries.len() + more.len() <= self.limit => {
                self.bytes += more.iter().map(ListedFile::bytes).sum::<usize>();
                if self.bytes > MAX_LIST {
                    return Err(unexpected());
                }
                self.entries.extend(more.iter().map(FileView::of));
                Ok(None)
            }
            FileReply::Done(done) => {
                let entries = std::mem::take(&mut self.entries);
                Ok(Some(ListView { entries, truncated: done.truncated }))
            }
            FileReply::Entries(_)
            | FileReply::Found(_)
            | FileReply::Ready
            | FileReply::Piece(_) => Err(unexpected()),
        }
    }
}

fn unexpected() -> Problem {
    tracing::error!("a shell has sent an unexpected reply during a transfer of files");
    Problem::new(Code::Internal, "an internal error occurred; report the requestId")
}

/// A problem with one header.
fn with_header(problem: Problem, name: header::HeaderName, value: &str) -> Response {
    let mut response = problem.into_response();
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
    response
}
