//! The attacks. Each is something that a user, or anyone at the server's port, may try.

use std::pin::Pin;

use anyhow::Result;

use crate::server::Server;

mod connections;
mod ends;
mod identity;
mod neighbours;
mod requests;
mod secrets;
mod shells;
mod webhooks;

/// Returns why the attack can't be tried here, if it can't; an error if it succeeded.
type Run = for<'a> fn(&'a Server) -> Pin<Box<dyn Future<Output = Result<Option<String>>> + 'a>>;

/// An attack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Takes more than some seconds.
    pub(crate) long: bool,
    pub(crate) run: Run,
}

/// How an attack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It failed, as it must.
    Held,
    /// It succeeded.
    Open,
    Skipped,
}

impl Attack {
    const fn new(name: &'static str, run: Run) -> Self {
        Self { name, long: false, run }
    }

    const fn long(mut self) -> Self {
        self.long = true;
        self
    }
}

/// All attacks.
pub(crate) fn all() -> Vec<Attack> {
    let mut all = Vec::new();
    all.extend(shells::ATTACKS);
    all.extend(ends::ATTACKS);
    all.extend(identity::ATTACKS);
    all.extend(neighbours::ATTACKS);
    all.extend(requests::ATTACKS);
    all.extend(connections::ATTACKS);
    all.extend(webhooks::ATTACKS);
    all.extend(secrets::ATTACKS);
    all
}
