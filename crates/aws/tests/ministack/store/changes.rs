//! Waiting for changes of a job.

use std::{sync::Arc, time::Duration};

use adapters::clock::SystemClock;
use aws::{changes::DynamoChanges, store::DynamoStore};
use aws_sdk_dynamodb::Client;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::AfterDeserializationInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use domain::ports::{Changes as _, Clock as _, Expect, Store as _, Version, Write};
use testkit::job_id;
use tokio::sync::watch;

use super::{Emulator, at, job};

/// Counts the calls of a client.
#[derive(Debug)]
struct Polls(watch::Sender<u32>);

impl Intercept for Polls {
    fn name(&self) -> &'static str {
        "Polls"
    }

    fn read_after_deserialization(
        &self,
        _: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.send_modify(|polls| *polls += 1);
        Ok(())
    }
}

#[tokio::test]
async fn a_wait_ends_when_the_job_changes_and_not_before() {
    let Some(emulator) = Emulator::start() else { return };
    let (polls, mut polled) = watch::channel(0);
    let polling = Client::from_conf(emulator.config().interceptor(Polls(polls)).build());
    let (client, table) = (Client::from_conf(emulator.config().build()), emulator.table().await);
    let store = DynamoStore::new(client, table.clone());
    let changes = DynamoChanges::new(polling, table, Arc::new(SystemClock));
    store.commit(vec![Write::Job(Box::new(job("s", "j").into()), Expect::New)]).await.unwrap();
    let in_a_minute = SystemClock.now() + Duration::from_mins(1);
    // The call returns at once for a job that has changed already, and for one that does not exist.
    changes.job_changed(job_id("j"), Version(0), in_a_minute).await.unwrap();
    changes.job_changed(job_id("none"), Version(1), in_a_minute).await.unwrap();

    let waiting = changes.clone();
    let wait =
        tokio::spawn(
            async move { waiting.job_changed(job_id("j"), Version(1), in_a_minute).await },
        );
    // Two calls above returned after one poll each. This one polls again, and so has not returned.
    polled.wait_for(|polls| *polls >= 4).await.unwrap();
    assert!(!wait.is_finished());
    let later =
        Write::Job(Box::new(job("s", "j").recheck_at(at(9)).into()), Expect::At(Version(1)));
    store.commit(vec![later]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap().unwrap().unwrap();
    assert!(SystemClock.now() < in_a_minute);
}

#[tokio::test]
async fn a_wait_ends_at_its_deadline() {
    let Some(emulator) = Emulator::start() else { return };
    let (client, table) = (Client::from_conf(emulator.config().build()), emulator.table().await);
    let store = DynamoStore::new(client.clone(), table.clone());
    store.commit(vec![Write::Job(Box::new(job("s", "j").into()), Expect::New)]).await.unwrap();
    let changes = DynamoChanges::new(client, table, Arc::new(SystemClock));
    let soon = SystemClock.now() + Duration::from_millis(300);
    changes.job_changed(job_id("j"), Version(1), soon).await.unwrap();
    assert!(SystemClock.now() >= soon);
}
