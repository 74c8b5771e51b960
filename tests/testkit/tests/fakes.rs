//! The fakes pass the conformance suites.

use std::{sync::Arc, time::Duration};

use domain::{ports::Store, task::TaskStatus};
use testkit::{
    Fakes,
    conformance::{
        ComputeUnderTest, QueueUnderTest, ShellUnderTest, compute_suite, queue_suite,
        script_suite_commands, shell_suite, store_limits_suite, store_suite,
    },
    task_id,
};

#[tokio::test]
async fn the_store_in_memory_conforms() {
    store_suite(async || Fakes::new().store as Arc<dyn Store>).await;
    store_limits_suite(async || Fakes::new().store as Arc<dyn Store>).await;
}

#[tokio::test]
async fn the_queue_in_memory_conforms() {
    queue_suite(async || {
        let Fakes { queue, clock, .. } = Fakes::new();
        let (other, clock) = (queue.clone(), (*clock).clone());
        let now = clock.clone();
        let take = move || {
            let taken = other.take_ready(domain::ports::Clock::now(&now));
            Box::pin(async move { taken }) as _
        };
        let hand = clock.clone();
        let pass = move || {
            hand.advance(Duration::from_secs(1));
            Box::pin(async {}) as _
        };
        let (take, pass) = (Box::new(take), Box::new(pass));
        QueueUnderTest { queue, clock: Arc::new(clock), pass, take }
    })
    .await;
}

#[tokio::test]
async fn compute_in_memory_conforms() {
    compute_suite(async || {
        let Fakes { compute, .. } = Fakes::new();
        let provider = compute.clone();
        let settle = move || {
            for facts in provider.tasks() {
                let next = match facts.status {
                    TaskStatus::Unplaced | TaskStatus::Pending => TaskStatus::Running,
                    TaskStatus::Running => continue,
                    TaskStatus::Stopping | TaskStatus::Stopped => TaskStatus::Stopped,
                };
                provider.advance(&facts.task, next);
            }
            Box::pin(async {}) as _
        };
        ComputeUnderTest { compute, settle: Box::new(settle), image: "default".into() }
    })
    .await;
}

#[tokio::test]
async fn the_shell_in_memory_conforms() {
    shell_suite(async || {
        let Fakes { shell, clock, .. } = Fakes::new().with_ready_session("s");
        script_suite_commands(&shell);
        ShellUnderTest { shell, task: task_id("s"), clock }
    })
    .await;
}

#[tokio::test]
async fn a_call_can_be_made_to_fail_before_or_after_its_effect() {
    use domain::{message::Message, ports::Queue};
    use testkit::FaultPoint;

    let fakes = Fakes::new();
    for (when, held) in [(FaultPoint::Before, 0), (FaultPoint::After, 1)] {
        fakes.gate.fail_at(1, when);
        fakes.queue.send(&Message::FillPool, Duration::ZERO).await.unwrap();
        assert!(fakes.queue.send(&Message::FillPool, Duration::ZERO).await.is_err());
        fakes.queue.send(&Message::FillPool, Duration::ZERO).await.unwrap();
        assert_eq!((fakes.gate.calls(), fakes.queue.take_all().len()), (3, 2 + held));
    }
}
