//! Whom a message works for, and the share of a lane that one of them gets.

use std::{collections::HashMap, sync::Arc};

/// Whom a message works for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Owner {
    /// The user; empty if it works for no user in particular.
    pub user: Arc<str>,
    /// The host that the work waits for, if it is outside of this machine.
    pub host: Option<Arc<str>>,
}

/// How many messages of one owner are in flight at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Of one user.
    pub user: usize,
    /// For one host, of all users.
    pub host: usize,
}

impl Share {
    /// No limit.
    pub const ALL: Self = Self { user: usize::MAX, host: usize::MAX };

    /// This many messages of each user, for any host.
    pub const fn of_user(user: usize) -> Self {
        Self { user, host: usize::MAX }
    }
}

/// The messages in flight, by their owners.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    users: HashMap<Arc<str>, usize>,
    hosts: HashMap<Arc<str>, usize>,
}

impl InFlight {
    /// Whether the user may have one more message in flight.
    pub(super) fn has_room_for_user(&self, user: &str, share: Share) -> bool {
        self.users.get(user).copied().unwrap_or_default() < share.user
    }

    /// Whether one more message may be in flight for this owner's host.
    pub(super) fn has_room_for_host(&self, owner: &Owner, share: Share) -> bool {
        let host = owner.host.as_ref();
        host.is_none_or(|host| self.hosts.get(host).copied().unwrap_or_default() < share.host)
    }

    pub(super) fn add(&mut self, owner: &Owner) {
        *self.users.entry(Arc::clone(&owner.user)).or_default() += 1;
        if let Some(host) = &owner.host {
            *self.hosts.entry(Arc::clone(host)).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, owner: &Owner) {
        decrease(&mut self.users, &owner.user);
        if let Some(host) = &owner.host {
            decrease(&mut self.hosts, host);
        }
    }
}

fn decrease(counts: &mut HashMap<Arc<str>, usize>, key: &Arc<str>) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
