//! The data channels of terminals that a client may open: who may, and to which terminal each leads.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use adapters::shell::DataChannel;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    JobId, Secret, TaskId, Timestamp,
    ports::{Clock, Ids},
};
use parking_lot::Mutex;

/// The path of data channels on the server; the id of the channel follows.
pub(crate) const PATH: &str = "/v1/data-channel/";
/// How many random bytes a token has.
const TOKEN_BYTES: usize = 32;
/// How many channels may wait for their client. The oldest is withdrawn for another.
const MAX_OFFERED: usize = 4096;
/// The same for one terminal, so that its owner does not withdraw the channels of others.
const MAX_OFFERED_OF_JOB: usize = 16;

/// The offered channels. Clones share them. They do not outlive the server: a client asks for another.
#[derive(Clone)]
pub struct DataChannels {
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    /// The URL of the server for WebSockets, known once the server listens.
    url: Arc<OnceLock<String>>,
    offered: Arc<Mutex<HashMap<String, Offer>>>,
}

struct Offer {
    token: Secret<String>,
    terminal: Terminal,
    until: Timestamp,
}

/// The terminal to which a channel leads.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    pub(crate) task: TaskId,
    pub(crate) job: JobId,
}

impl DataChannels {
    /// No channels.
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { clock, ids, url: Arc::default(), offered: Arc::default() }
    }

    /// Sets the URL of the server, with the scheme http or https, once.
    pub(crate) fn set_url(&self, url: &str) {
        // http becomes ws, and https wss.
        let _already_set = self.url.set(url.replacen("http", "ws", 1));
    }

    /// Offers a channel to this terminal to one client. `None` if the server does not listen yet.
    pub(crate) fn offer(&self, terminal: Terminal, until: Timestamp) -> Option<DataChannel> {
        let url = self.url.get()?;
        let id = format!("terminal-{}", self.ids.ulid().to_string().to_lowercase());
        let token = URL_SAFE_NO_PAD.encode(self.ids.secret(TOKEN_BYTES));
        let token = Secret::new(token);
        let stream_url = format!("{url}{PATH}{id}?role=publish_subscribe");
        let mut offered = self.offered.lock();
        let now = self.clock.now();
        offered.retain(|_, offer| now < offer.until);
        limit(&mut offered, MAX_OFFERED_OF_JOB, |offer| offer.terminal.job == terminal.job);
        limit(&mut offered, MAX_OFFERED, |_| true);
        offered.insert(id.clone(), Offer { token: token.clone(), terminal, until });
        Some(DataChannel { id, stream_url, token })
    }

    /// The terminal of an offered channel, for a client with its token: once. A wrong token withdraws
    /// the offer, so that nobody can guess.
    pub(crate) fn take(&self, id: &str, is_token: impl Fn(&str) -> bool) -> Option<Terminal> {
        let offer = self.offered.lock().remove(id)?;
        let valid = is_token(offer.token.expose()) && self.clock.now() < offer.until;
        valid.then_some(offer.terminal)
    }
}

/// Makes room for one more among these offers.
fn limit(offered: &mut HashMap<String, Offer>, limit: usize, counts: impl Fn(&Offer) -> bool) {
    let counted = || offered.iter().filter(|(_, offer)| counts(offer));
    if counted().count() < limit {
        return;
    }
    let oldest = counted().min_by_key(|(_, offer)| offer.until).map(|(id, _)| id.clone());
    if let Some(oldest) = oldest {
        offered.remove(&oldest);
    }
}

impl std::fmt::Debug for DataChannels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataChannels").field("offered", &self.offered.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests;
