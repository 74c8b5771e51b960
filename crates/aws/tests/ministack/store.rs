//! The store port on DynamoDB.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use aws::store::DynamoStore;
use aws_sdk_dynamodb::{Client, config};
use domain::{
    Timestamp,
    job::{self, Job, Work},
    ports::Store,
    session::{Queued, Session},
    timeline::{Actor, Stamp},
};
use testkit::{command, conformance, job_id, session_id, spec, user_id};

use crate::server::{Ministack, plain_http};

mod changes;
mod costs;
mod events;
mod failures;
mod fault_injector;
mod meter;
mod races;
mod records;
pub(crate) mod table;

/// A running DynamoDB emulator.
struct Emulator {
    server: Ministack,
    tables: AtomicU32,
}

impl Emulator {
    fn start() -> Option<Self> {
        Some(Self { server: Ministack::start("dynamodb")?, tables: AtomicU32::new(0) })
    }

    /// The configuration of a client over plain HTTP.
    fn config(&self) -> config::Builder {
        config::Builder::from(&self.server.config_over(plain_http()))
    }

    /// Creates a table; returns its name.
    async fn table(&self) -> String {
        let name = format!("records-{}", self.tables.fetch_add(1, Ordering::Relaxed));
        table::create(&Client::from_conf(self.config().build()), &name).await;
        name
    }

    /// A store on a new table.
    async fn store(&self) -> DynamoStore {
        DynamoStore::new(Client::from_conf(self.config().build()), self.table().await)
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + seconds * 1000)
}

fn stamp(seconds: i64) -> Stamp {
    Stamp::new(Actor::User, at(seconds))
}

fn session(name: &str) -> Session {
    let start = job_id(&format!("+{name}"));
    Queued::accept(session_id(name), user_id(), start, spec(), stamp(0)).any().session
}

fn job(session: &str, name: &str) -> job::Queued {
    let (id, session) = (job_id(name), session_id(session));
    let work = Work::Execute(Box::new(command("true")));
    Job::accept(job::Common { id, session, user: user_id(), work, created_at: at(0) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite() {
    let Some(emulator) = Emulator::start() else { return };
    conformance::store_suite(async || Arc::new(emulator.store().await) as Arc<dyn Store>).await;
}
