//! `token add|list|revoke`: who may use the server on this machine.

use std::sync::Arc;

use local::{
    UserId,
    clock::{MonotonicIds, SystemClock},
    database::Database,
    tokens::{TokenInfo, Tokens},
};
use serde_json::json;

use super::Context;
use crate::{
    args::Token,
    failure::{Exit, Failure},
    find,
    table::table,
};

pub(super) async fn token(context: &Context, command: Token) -> Result<(), Failure> {
    let tokens = open(context)?;
    match command {
        Token::Add { user } => add(context, &tokens, user).await,
        Token::List => list(context, &tokens),
        Token::Revoke { user } => revoke(context, &tokens, &user).await,
    }
}

/// The server, if it runs, sees what we change.
fn open(context: &Context) -> Result<Tokens, Failure> {
    let dir = find::data_dir(&context.global);
    let db = Database::open_shared(&dir).map_err(|error| {
        Failure::chain(&format!("can't open {}", dir.display()), &error)
            .hint("tokens are managed by the user who runs the server, with the same --data-dir")
    })?;
    Ok(Tokens::new(db, Arc::new(SystemClock), Arc::new(MonotonicIds::default())))
}

async fn add(context: &Context, tokens: &Tokens, user: String) -> Result<(), Failure> {
    if user.is_empty() || user.chars().any(char::is_control) {
        return Err(Failure::new(Exit::Usage, "a user needs a name"));
    }
    let made = tokens.create(&UserId::new(user.clone())).await;
    let token = made.map_err(|error| Failure::chain("can't store the token", &error))?;
    context.screen.note("shown once:");
    context.screen.result(&json!({"user": user, "token": token.expose()}), token.expose())
}

fn list(context: &Context, tokens: &Tokens) -> Result<(), Failure> {
    let all = read(tokens)?;
    if context.screen.json {
        return all.iter().try_for_each(|token| context.screen.line(&json(token).to_string()));
    }
    let rows: Vec<_> = all
        .iter()
        .map(|token| vec![token.user.to_string(), token.created_at.to_string(), token.id.clone()])
        .collect();
    context.screen.line(&table(&["USER", "CREATED", "ID"], &rows))
}

async fn revoke(context: &Context, tokens: &Tokens, user: &str) -> Result<(), Failure> {
    let all = read(tokens)?;
    let theirs: Vec<_> = all.iter().filter(|token| token.user.as_str() == user).collect();
    if theirs.is_empty() {
        return Err(Failure::new(Exit::Gone, format!("{user} has no token"))
            .hint("`ephemeral token list` says who has"));
    }
    for token in &theirs {
        let revoked = tokens.revoke(&token.id).await;
        revoked.map_err(|error| Failure::chain("can't revoke the token", &error))?;
    }
    let count = theirs.len();
    let words = format!("{user} has no token any more; revoked {count}");
    context.screen.result(&json!({"user": user, "revoked": count}), &words)
}

fn read(tokens: &Tokens) -> Result<Vec<TokenInfo>, Failure> {
    tokens.list().map_err(|error| Failure::chain("can't read the tokens", &error))
}

fn json(token: &TokenInfo) -> serde_json::Value {
    json!({"user": token.user.as_str(), "createdAt": token.created_at.to_string(), "id": token.id})
}
