//! The mailbox of a session: whether it takes jobs, its unfinished commands, and which serial one has the turn.
//! All of it is one item, because a transaction is billed by the item.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{JobId, SessionId, command::Concurrency};

use super::super::{
    item::{ConditionFailure, Item},
    keys::{Key, OPEN, TURN, number_value, unfinished},
};

/// What a commit requires of a mailbox and changes in it.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// Whether the session takes jobs from now on.
    pub(super) open: Option<bool>,
    /// The session must take jobs.
    pub(super) must_be_open: bool,
    /// There must be fewer unfinished commands of each concurrency.
    pub(super) queue_limit: Option<u32>,
    pub(super) added: Vec<(Concurrency, JobId)>,
    pub(super) removed: Vec<(Concurrency, JobId)>,
    /// The job that takes the turn, which no other job may have.
    pub(super) takes_turn: Option<JobId>,
    pub(super) ends_turn: Option<JobId>,
}

impl Mailbox {
    /// The item of the transaction; a check if nothing changes.
    pub(super) fn item(self, session: SessionId) -> Item {
        let key = Key::mailbox(session);
        let item = if self.changes() { Item::update(key) } else { Item::check(key) };
        let (is_open_required, queue_limit) = (self.must_be_open, self.queue_limit);
        let failure = ConditionFailure::Mailbox { is_open_required, queue_limit };
        self.changed(self.required(item)).on_failure(failure)
    }

    const fn changes(&self) -> bool {
        self.open.is_some()
            || self.takes_turn.is_some()
            || self.ends_turn.is_some()
            || !self.added.is_empty()
            || !self.removed.is_empty()
    }

    fn required(&self, mut item: Item) -> Item {
        if self.must_be_open {
            item = item.when(OPEN, "=", AttributeValue::Bool(true));
        }
        if let Some(limit) = self.queue_limit {
            for concurrency in Concurrency::ALL {
                item = item.when_fewer_than(unfinished(concurrency), number_value(limit));
            }
        }
        match self.takes_turn {
            Some(job) => item.when_none_or_has(TURN, AttributeValue::S(job.to_string())),
            None => item,
        }
    }

    fn changed(&self, mut item: Item) -> Item {
        if let Some(open) = self.open {
            item = item.set_or_remove(OPEN, open.then_some(AttributeValue::Bool(true)));
        }
        for concurrency in Concurrency::ALL {
            let name = unfinished(concurrency);
            if let Some(jobs) = ids(&self.added, concurrency) {
                item = item.add(name, jobs);
            }
            if let Some(jobs) = ids(&self.removed, concurrency) {
                item = item.delete_from_set(name, jobs);
            }
        }
        let id = |job: JobId| AttributeValue::Ss(vec![job.to_string()]);
        match (self.takes_turn, self.ends_turn) {
            (Some(job), _) => item.add(TURN, id(job)),
            (None, Some(job)) => item.delete_from_set(TURN, id(job)),
            (None, None) => item,
        }
    }
}

/// The set of the jobs with this concurrency; none if there is no such job.
fn ids(jobs: &[(Concurrency, JobId)], concurrency: Concurrency) -> Option<AttributeValue> {
    let ids = jobs.iter().filter(|(of, _)| *of == concurrency).map(|(_, job)| job.to_string());
    let ids: Vec<String> = ids.collect();
    (!ids.is_empty()).then_some(AttributeValue::Ss(ids))
}
