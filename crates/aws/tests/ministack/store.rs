//! The store on DynamoDB.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use aws::store::DynamoStore;
use aws_sdk_dynamodb::{Client, config};
use domain::ports::Store;
use testkit::conformance;

use crate::server::{Ministack, plain_http};

mod changes;
mod costs;
mod faults;
mod meter;
mod races;
mod records;
mod table;
mod wire;

/// An emulator with a table in it.
struct Place {
    server: Ministack,
    tables: AtomicU32,
}

impl Place {
    fn make() -> Option<Self> {
        Some(Self { server: Ministack::start("dynamodb")?, tables: AtomicU32::new(0) })
    }

    /// A client's settings over plain HTTP.
    fn config(&self) -> config::Builder {
        config::Builder::from(&self.server.config_over(plain_http()))
    }

    /// The name of a new table.
    async fn table(&self) -> String {
        let name = format!("records-{}", self.tables.fetch_add(1, Ordering::Relaxed));
        table::create(&Client::from_conf(self.config().build()), &name).await;
        name
    }

    /// A store on a table of its own.
    async fn store(&self) -> DynamoStore {
        DynamoStore::new(Client::from_conf(self.config().build()), self.table().await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite() {
    let Some(place) = Place::make() else { return };
    conformance::store_suite(async || Arc::new(place.store().await) as Arc<dyn Store>).await;
}
