//! Limits which webhooks of one user are posted at once.

use std::collections::{HashMap, HashSet, VecDeque};

use domain::{DeliveryId, UserId};
use parking_lot::Mutex;

/// Deliveries of users, of which only some of each user are handled at once; the others wait in order.
/// So a user whose endpoints answer slowly delays nobody else.
#[derive(Debug)]
pub(super) struct Turns<T> {
    limit: usize,
    users: Mutex<HashMap<UserId, Deliveries<T>>>,
}

#[derive(Debug)]
struct Deliveries<T> {
    handled: usize,
    waiting: VecDeque<(DeliveryId, T)>,
    waiting_ids: HashSet<DeliveryId>,
}

/// What becomes of a message about a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<T> {
    /// The message is to be handled now; afterwards call [`Turns::next`].
    Now(T),
    /// The message is kept until another one of the user was handled.
    Waits,
    /// Another message about the same delivery waits.
    Repeated(T),
}

impl<T> Turns<T> {
    /// No deliveries; at most `limit` of one user are handled at once.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, users: Mutex::default() }
    }

    /// Takes a message about a delivery of this user.
    pub(super) fn begin(&self, user: &UserId, delivery: DeliveryId, message: T) -> Turn<T> {
        let mut users = self.users.lock();
        let deliveries = users.entry(user.clone()).or_insert_with(|| Deliveries {
            handled: 0,
            waiting: VecDeque::new(),
            waiting_ids: HashSet::new(),
        });
        if deliveries.handled < self.limit {
            deliveries.handled += 1;
            return Turn::Now(message);
        }
        if !deliveries.waiting_ids.insert(delivery) {
            return Turn::Repeated(message);
        }
        deliveries.waiting.push_back((delivery, message));
        Turn::Waits
    }

    /// A message of the user was handled; returns one that waited and is to be handled now.
    pub(super) fn next(&self, user: &UserId) -> Option<T> {
        let mut users = self.users.lock();
        let deliveries = users.get_mut(user)?;
        if let Some((delivery, message)) = deliveries.waiting.pop_front() {
            deliveries.waiting_ids.remove(&delivery);
            return Some(message);
        }
        deliveries.handled = deliveries.handled.saturating_sub(1);
        if deliveries.handled == 0 {
            users.remove(user);
        }
        None
    }

    /// Forgets the messages that wait.
    pub(super) fn clear(&self) {
        for deliveries in self.users.lock().values_mut() {
            deliveries.waiting.clear();
            deliveries.waiting_ids.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_of_one_user_wait_for_each_other_in_order() {
        let (ann, bob) = (UserId::new("ann"), UserId::new("bob"));
        let [a, b, c, d] = ["a", "b", "c", "d"]
            .map(|name| DeliveryId::from_ulid(testkit::session_id(name).ulid()));
        let turns = Turns::new(2);
        assert_eq!(turns.begin(&ann, a, 1), Turn::Now(1));
        assert_eq!(turns.begin(&ann, b, 2), Turn::Now(2));
        assert_eq!(turns.begin(&ann, c, 3), Turn::Waits);
        assert_eq!(turns.begin(&ann, d, 4), Turn::Waits);
        assert_eq!(turns.begin(&ann, c, 5), Turn::Repeated(5));
        assert_eq!(turns.begin(&bob, c, 6), Turn::Now(6));
        assert_eq!(turns.next(&ann), Some(3));
        assert_eq!(turns.begin(&ann, c, 7), Turn::Waits);
        assert_eq!(turns.next(&ann), Some(4));
        assert_eq!(turns.next(&bob), None);
        turns.clear();
        assert_eq!((turns.next(&ann), turns.next(&ann)), (None, None));
        assert!(turns.users.lock().is_empty());
    }
}
