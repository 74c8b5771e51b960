//! `token add|list|revoke`: manages the users of the server on this machine.

use std::sync::Arc;

use local::{
    UserId,
    clock::{MonotonicIds, SystemClock},
    database::Database,
    revocation::stop_sessions,
    tokens::{TokenInfo, Tokens},
};
use serde_json::json;

use super::Context;
use crate::{
    args::Token,
    error::{CliError, Exit},
    find_server,
    table::table,
};

pub(super) async fn token(context: &Context, command: Token) -> Result<(), CliError> {
    let tokens = open(context)?;
    match command {
        Token::Add { user } => add(context, &tokens, user).await,
        Token::List => list(context, &tokens),
        Token::Revoke { user, stop } => revoke(context, &tokens, &user, stop).await,
    }
}

/// Opens the token table of the data directory. A running server sees changes at once.
fn open(context: &Context) -> Result<Tokens, CliError> {
    let dir = find_server::data_dir(&context.global);
    let db = Database::open_shared(&dir).map_err(|error| {
        CliError::chain(&format!("can't open {}", dir.display()), &error)
            .hint("run this as the user who runs the server, with the same --data-dir")
    })?;
    Ok(Tokens::new(db, Arc::new(SystemClock), Arc::new(MonotonicIds::default())))
}

async fn add(context: &Context, tokens: &Tokens, user: String) -> Result<(), CliError> {
    if user.is_empty() || user.chars().any(char::is_control) {
        return Err(CliError::new(
            Exit::Usage,
            "the user name must not be empty or contain control characters",
        ));
    }
    let created = tokens.create(&UserId::new(user.clone())).await;
    let token = created.map_err(|error| CliError::chain("can't store the token", &error))?;
    context.terminal.note("printed only once:");
    context.terminal.result(&json!({"user": user, "token": token.expose()}), token.expose())
}

fn list(context: &Context, tokens: &Tokens) -> Result<(), CliError> {
    let all = read(tokens)?;
    if context.terminal.json {
        return all.iter().try_for_each(|token| context.terminal.json(&json(token)));
    }
    let rows: Vec<_> = all
        .iter()
        .map(|token| vec![token.user.to_string(), token.created_at.to_string(), token.id.clone()])
        .collect();
    context.terminal.line(&table(&["USER", "CREATED", "ID"], &rows))
}

async fn revoke(
    context: &Context,
    tokens: &Tokens,
    user: &str,
    stop: bool,
) -> Result<(), CliError> {
    let all = read(tokens)?;
    let revocable: Vec<_> = all.iter().filter(|token| token.user.as_str() == user).collect();
    if revocable.is_empty() && !stop {
        return Err(CliError::new(Exit::Gone, format!("{user} has no token"))
            .hint("`ephemeral token list` lists the users that have one"));
    }
    for token in &revocable {
        let revoked = tokens.revoke(&token.id).await;
        revoked.map_err(|error| CliError::chain("can't revoke the token", &error))?;
    }
    let count = revocable.len();
    if !stop {
        let text = format!("revoked {count} token(s) of {user}");
        return context.terminal.result(&json!({"user": user, "revoked": count}), &text);
    }
    let stopped = stop_sessions(tokens.database(), &SystemClock, &UserId::new(user)).await;
    let stopped = stopped.map_err(|error| CliError::chain("can't stop the shells", &error))?;
    let text = format!("revoked {count} token(s) of {user} and stopped {stopped} shell(s)");
    context.terminal.result(&json!({"user": user, "revoked": count, "stopped": stopped}), &text)
}

fn read(tokens: &Tokens) -> Result<Vec<TokenInfo>, CliError> {
    tokens.list().map_err(|error| CliError::chain("can't read the tokens", &error))
}

fn json(token: &TokenInfo) -> serde_json::Value {
    json!({"user": token.user.as_str(), "createdAt": token.created_at.to_string(), "id": token.id})
}
