//! `GET /v1/jobs/{id}/recording`: what a terminal has shown, as an asciicast of version 2.

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use domain::{JobId, command::MAX_RECORDING, ports::Stream};

use super::{
    extract::{Id, User},
    jobs,
    problem::{Code, Problem},
};
use crate::{Env, view};

/// The media type that IANA has registered for asciicasts.
pub(super) const ASCIICAST: &str = "application/x-asciicast";

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<JobId>,
) -> Result<Response, Problem> {
    let job = jobs::owned(&env, &user, id).await?.value;
    let none = |detail: &'static str| Problem::new(Code::NoRecording, detail);
    let Some(stored) = view::recorded(&job) else {
        return Err(none("the job has no recording; request one with record: true"));
    };
    let limit = stored.min(MAX_RECORDING);
    let mut lines = env.store.output(id, Stream::Stderr, 0, limit).await?.into_inner();
    // The rest of the last line may be stored later, or was lost.
    lines.truncate(lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    if lines.is_empty() {
        return Err(none("nothing is recorded yet"));
    }
    Ok(([(CONTENT_TYPE, ASCIICAST)], lines).into_response())
}
