//! Requests for files as jobs, in deployments whose API has no way to shells.
//!
//! `POST /v1/sessions/{id}/files/uploads` gives a URL to which the client puts the bytes; a request names the
//! upload then. Every request is accepted as a job whose command moves the bytes between the shell and the
//! store of objects. `GET /v1/jobs/{id}/result` is the response that the request would have had, once the job
//! has ended; a download is a redirection to a URL.
//!
//! No URL is stored: each is made when it is shown, or sent to a shell. So a repeated request has the same
//! effect, and the result can be asked for again after its URL has expired.

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    JobId, SessionId, Timestamp, UploadId, UserId,
    command::{Command, Concurrency, Keep, Program},
    file::{Attributes, FileAction, FileJob, FilePath, FileReply, FilesDone, uploaded},
    job::{Exit, Finished, Job, Outcome},
    ports::{BackendError, Stream, Transfers},
};
use serde::Serialize;

use super::{
    ArchiveView, Listing, MAX_UPLOAD, StoredFileView, download, shell::problem, unexpected,
};
use crate::{
    Env,
    http::{
        accepted::Accepted,
        execute::{self, IfNotReady},
        extract::{Id, Params, User},
        fields::Fields,
        jobs,
        post::Post,
        problem::{Code, Problem},
        reply::Reply,
        rule::integer,
        sessions,
        wait::WaitQuery,
    },
};

/// How long a transfer between a shell and the store of objects may take.
const TIMEOUT: Duration = Duration::from_mins(30);
/// How long an object is kept.
const KEPT: Duration = Duration::from_hours(24);
/// The largest output: a list, each of whose entries has its attributes besides its name. Bytes.
const MAX_OUTPUT: u64 = 6 << 20;
/// The name of the program in records. The deployment has a program for it.
const PROGRAM: &str = "files";

/// How many bytes a client wants to upload.
pub(in crate::http) struct UploadRequest {
    size: u64,
}

/// Where a client puts the bytes of a file or of an archive. `Debug` does not show the URL.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Upload"))]
pub(in crate::http) struct UploadView {
    upload_id: UploadId,
    /// Put exactly the announced number of bytes there, without a token. Whoever has the URL may use it.
    url: String,
    /// When the URL stops being valid. An upload that has begun goes on.
    expires_at: Timestamp,
}

impl std::fmt::Debug for UploadView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadView").field("upload_id", &self.upload_id).finish_non_exhaustive()
    }
}

impl UploadRequest {
    /// Reads the body.
    pub(in crate::http) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let size = integer(0..=MAX_UPLOAD).describe("Bytes.");
        Some(Self { size: fields.required("size", size)? })
    }
}

pub(in crate::http) async fn upload(
    State(env): State<Env>,
    Id(id): Id<SessionId>,
    post: Post,
) -> Result<Response, Problem> {
    let UploadRequest { size } = post.read_body(UploadRequest::read)?;
    sessions::ready(sessions::owned(&env, &post.user, id).await?.value)?;
    let transfers = transfers(&env)?;
    let upload_id = UploadId::from_ulid(env.ids.ulid());
    let given = transfers.put_url(&uploaded(id, upload_id), size).await?;
    let view = UploadView { upload_id, url: given.url.into_inner(), expires_at: given.expires_at };
    Ok(Reply::new(StatusCode::CREATED, &view).into_response())
}

/// The response to the request of a job, once the job has ended.
pub(in crate::http) async fn result(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<JobId>,
    params: Params,
) -> Result<Response, Problem> {
    let wait = params.read(WaitQuery::read)?.wait;
    let job = jobs::wait_for_end(&env, &user, id, wait).await?;
    let Some(files) = job.command().and_then(|command| command.files.as_ref()) else {
        let detail = format!("{id} is not the job of a request for files, so it has no result");
        return Err(Problem::new(Code::NotFound, detail));
    };
    match &job {
        Job::Finished(finished) => finished_response(&env, &job, finished, files).await,
        Job::Queued(_) | Job::Running(_) => Ok(Accepted::of(&job).reply().into_response()),
    }
}

/// Accepts the request as a job of the session, which must be ready.
pub(super) async fn accept(
    env: &Env,
    user: UserId,
    session: SessionId,
    path: Option<FilePath>,
    action: FileAction,
    upload: Option<UploadId>,
) -> Result<Response, Problem> {
    // The query was read, so the path is there.
    let path = path.ok_or_else(unexpected)?;
    let command = command(FileJob { path, action, upload });
    let post = Post::without_body(user);
    execute::accept_command(env, &post, session, &command, IfNotReady::Reject).await
}

/// The upload that a request with bytes must name where requests for files are jobs; `None` where it sends them.
pub(super) fn upload_of(env: &Env, upload: Option<UploadId>) -> Result<Option<UploadId>, Problem> {
    match (upload, &env.transfers) {
        (None, Some(_)) => {
            let detail = "this API does not take the bytes itself: put them where \
                          POST /v1/sessions/{id}/files/uploads says, and name that upload";
            Err(Problem::new(Code::UploadRequired, detail))
        }
        (Some(_), None) => Err(transfers(env).err().unwrap_or_else(unexpected)),
        (upload, _) => Ok(upload),
    }
}

/// Refuses requests for the headers alone: they would need a job that moves all bytes.
pub(super) fn check_method(method: &Method) -> Result<(), Problem> {
    if method == Method::HEAD {
        let detail = "this deployment can't answer HEAD for files; list the directory instead";
        return Err(Problem::new(Code::FilesUnavailable, detail));
    }
    Ok(())
}

fn transfers(env: &Env) -> Result<&dyn Transfers, Problem> {
    env.transfers.as_deref().ok_or_else(|| {
        let detail = "this server takes the bytes itself: send them as the body of the request";
        Problem::new(Code::UploadsUnavailable, detail)
    })
}

fn command(files: FileJob) -> Command {
    let program = Program::Argv(vec![PROGRAM.to_owned()]);
    Command {
        concurrency: Concurrency::Parallel,
        keep: Keep::Head,
        files: Some(files),
        ..Command::new(program, TIMEOUT, MAX_OUTPUT)
    }
}

async fn finished_response(
    env: &Env,
    job: &Job,
    finished: &Finished,
    files: &FileJob,
) -> Result<Response, Problem> {
    check_outcome(finished.outcome())?;
    let (session, transfers) = (job.common().session, transfers(env)?);
    let printed = env.store.output(job.id(), Stream::Stdout, 0, MAX_OUTPUT).await?.into_inner();
    let replies = match transfers.replies(&printed) {
        Ok(replies) => replies,
        Err(error) => return Err(problem(env, session, &files.path, error).await),
    };
    match files.action {
        FileAction::List { limit, .. } => list(replies, limit),
        FileAction::Remove { .. } => {
            last(&replies)?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        FileAction::Unpack { .. } => {
            let entries = last(&replies)?.entries;
            Ok(Reply::ok(&ArchiveView { entries }).into_response())
        }
        FileAction::Write { .. } => {
            let created = last(&replies)?.created;
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            let found = found(&replies).ok_or_else(unexpected)?;
            Ok(Reply::new(status, &StoredFileView::of(found)).into_response())
        }
        FileAction::Read | FileAction::Pack { .. } => {
            last(&replies)?;
            if env.now() >= finished.finished_at() + KEPT {
                let detail = "the bytes were kept for a day; send the request again";
                return Err(Problem::new(Code::TransferExpired, detail));
            }
            let object = files.object(session, job.id());
            let url = transfers.get_url(&object).await?.url.into_inner();
            Ok(redirect(&url, found(&replies))?)
        }
    }
}

/// Refuses the result of a job whose command did not run to its end.
fn check_outcome(outcome: &Outcome) -> Result<(), Problem> {
    let failed = |detail: String| Err(Problem::new(Code::TransferFailed, detail));
    match outcome {
        Outcome::Completed { exit: Some(Exit::Code(_)), failure: None } => Ok(()),
        Outcome::Failed { failure } if failure.code == "command_not_found" => {
            let detail = "the image of this session has no program for files; it is part of images that \
                          are built on that of this version";
            Err(Problem::new(Code::FilesUnavailable, detail))
        }
        Outcome::TimedOut { .. } => {
            failed(format!("the transfer took more than {} minutes", TIMEOUT.as_secs() / 60))
        }
        Outcome::Cancelled { failure: None, .. } => failed("the job was cancelled".to_owned()),
        Outcome::Completed { failure: Some(failure), .. }
        | Outcome::Cancelled { failure: Some(failure), .. }
        | Outcome::Failed { failure }
        | Outcome::Lost { failure } => failed(failure.message.clone()),
        Outcome::Completed { exit: Some(Exit::Signal(_)) | None, failure: None } => {
            failed("the program that moves the bytes was killed".to_owned())
        }
    }
}

fn list(replies: Vec<FileReply>, limit: u32) -> Result<Response, Problem> {
    let mut list = Listing::new(limit);
    for reply in replies {
        if let Some(view) = list.add(reply)? {
            return Ok(Reply::ok(&view).into_response());
        }
    }
    Err(unexpected())
}

fn last(replies: &[FileReply]) -> Result<FilesDone, Problem> {
    match replies.last() {
        Some(FileReply::Done(done)) => Ok(*done),
        _ => Err(unexpected()),
    }
}

fn found(replies: &[FileReply]) -> Option<&Attributes> {
    replies.iter().find_map(|reply| match reply {
        FileReply::Found(found) => Some(found),
        FileReply::Ready | FileReply::Entries(_) | FileReply::Piece(_) | FileReply::Done(_) => None,
    })
}

/// 303 to the URL, with the headers that describe a file.
fn redirect(url: &str, found: Option<&Attributes>) -> Result<Response, Problem> {
    let url =
        HeaderValue::from_str(url).map_err(|error| BackendError::new("making a URL", error))?;
    let mut headers = HeaderMap::new();
    if let Some(found) = found {
        download::describe(found, &mut headers);
    }
    headers.insert(header::LOCATION, url);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}
