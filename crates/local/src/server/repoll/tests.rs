use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

/// Counts how often the task was woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a poll returns, how often the future was polled, and how often the task was woken.
fn polled(mut future: impl FnMut(usize, &Waker) -> Poll<()>) -> (Poll<()>, usize, usize) {
    let task = Arc::new(Task::default());
    let waker = Waker::from(Arc::clone(&task));
    let polls = Cell::new(0);
    let polled = Repoll::new().poll(&mut Context::from_waker(&waker), |cx| {
        polls.set(polls.get() + 1);
        future(polls.get(), cx.waker())
    });
    (polled, polls.get(), task.0.load(Ordering::Relaxed))
}

#[test]
fn a_future_that_wakes_itself_is_polled_again_without_its_task() {
    let polled = polled(|poll, waker| {
        waker.wake_by_ref();
        if poll < 3 { Poll::Pending } else { Poll::Ready(()) }
    });
    assert_eq!(polled, (Poll::Ready(()), 3, 0));
}

#[test]
fn a_future_that_waits_is_polled_once() {
    assert_eq!(polled(|_, _| Poll::Pending), (Poll::Pending, 1, 0));
}

#[test]
fn a_future_that_never_stops_to_wake_itself_leaves_other_tasks_their_turn() {
    let polled = polled(|_, waker| {
        waker.wake_by_ref();
        Poll::Pending
    });
    assert_eq!(polled, (Poll::Pending, MAX_POLLS, 1));
}

#[test]
fn a_future_that_is_woken_later_wakes_the_task_that_polled_it_last() {
    let repoll = Repoll::new();
    let tasks = [(); 2].map(|()| Arc::new(Task::default()));
    let mut inner = None;
    for task in &tasks {
        let waker = Waker::from(Arc::clone(task));
        let polled = repoll.poll(&mut Context::from_waker(&waker), |cx| {
            inner = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
    }
    inner.unwrap().wake();
    assert_eq!(tasks.map(|task| task.0.load(Ordering::Relaxed)), [0, 1]);
}
