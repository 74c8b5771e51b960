//! `GET /v1/quota`: how many sessions of the caller are active, may be, and wait.

use axum::extract::State;
use serde::Serialize;

use super::{
    extract::{Params, User},
    problem::Problem,
    reply::Reply,
};
use crate::Env;

/// A user's quota of sessions.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Quota"))]
pub(super) struct QuotaView {
    active: u32,
    limit: u32,
    queued: u32,
}

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    params: Params,
) -> Result<Reply, Problem> {
    params.read_none()?;
    let quota = env.store.quota(&user).await?;
    let limit = env.policy.max_active_sessions;
    Ok(Reply::ok(&QuotaView { active: quota.active, limit, queued: quota.waiting }))
}
