//! Records of all sizes: their items, lists and deletion.

use std::collections::BTreeMap;

use aws::store::DynamoStore;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use domain::{
    DeliveryId, JobId, Secret, SessionId, WarmId,
    command::Concurrency,
    job::{Job, Outcome, Work},
    ports::{Expect, IdempotentResponse, Store as _, Stream, Version, Write},
    session::{Event, Queued, Reason, Session},
    warm::Warm,
    webhook::{Delivery, Endpoint, EventType, Payload, Pending},
};
use testkit::{command, job_id, kind, session_id, spec, user_id};
use ulid::Ulid;

use super::{Emulator, at, job, stamp};

type Item = std::collections::HashMap<String, AttributeValue>;

pub(super) struct Table {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) store: DynamoStore,
}

impl Table {
    pub(super) async fn create(emulator: &Emulator) -> Self {
        let (client, name) = (Client::from_conf(emulator.config().build()), emulator.table().await);
        let store = DynamoStore::new(client.clone(), name.clone());
        Self { client, name, store }
    }

    pub(super) async fn items(&self) -> Vec<Item> {
        let pages = self.client.scan().table_name(&self.name).into_paginator().items().send();
        pages.try_collect().await.unwrap()
    }

    async fn item(&self, pk: &str, sk: &str) -> Option<Item> {
        let is = |item: &Item, name: &str, text: &str| item[name].as_s().unwrap() == text;
        let items = self.items().await;
        items.into_iter().find(|item| is(item, "pk", pk) && is(item, "sk", sk))
    }
}

fn put(job: impl Into<Job>, expect: Expect) -> Write {
    Write::Job(Box::new(job.into()), expect)
}

fn large_job(name: &str) -> job::Queued {
    let mut large = command(&"echo é\n".repeat(8 * 1024));
    large.stdin = Secret::new((0..=255).cycle().take(128 * 1024).collect());
    large.env = Secret::new(BTreeMap::from([("TEXT".into(), "x".repeat(60_000))]));
    let work = Work::Execute(Box::new(large));
    let (id, session) = (job_id(name), session_id("s"));
    Job::accept(job::Common { id, session, user: user_id(), work, created_at: at(0) })
}

#[tokio::test]
async fn a_large_command_is_written_once_and_read_completely() {
    let Some(emulator) = Emulator::start() else { return };
    let table = Table::create(&emulator).await;
    let job = large_job("j");
    table.store.commit(vec![put(job.clone(), Expect::New)]).await.unwrap();
    let running = job.claim("w", at(1));
    table.store.commit(vec![put(running.clone(), Expect::At(Version(1)))]).await.unwrap();

    let whole = Job::from(running);
    assert_eq!(table.store.job(job_id("j")).await.unwrap().unwrap().value, whole);
    let open = table.store.open_jobs(session_id("s"), Concurrency::Serial, 9).await.unwrap();
    assert_eq!(open[0].value, whole);
    let listed = table.store.jobs(session_id("s"), None, 9).await.unwrap();
    assert_eq!(listed.items, [whole]);
    let record = table.item(&job_id("j").to_string(), "record").await.unwrap();
    let text = record["record"].as_s().unwrap();
    assert!(text.len() < 700, "{} bytes are written again with each change", text.len());
}

#[tokio::test]
async fn large_variables_and_metadata_of_a_session_are_read_completely() {
    let Some(emulator) = Emulator::start() else { return };
    let table = Table::create(&emulator).await;
    let mut spec = spec();
    spec.env = Secret::new(BTreeMap::from([("TEXT".into(), "x".repeat(200_000))]));
    spec.metadata = BTreeMap::from([("note".into(), "y".repeat(100))]);
    let id = session_id("s");
    let session = Queued::accept(id, user_id(), job_id("+s"), spec, stamp(0)).any().session;
    let new = Write::Session(Box::new(session.clone()), Expect::New);
    table.store.commit(vec![new]).await.unwrap();
    let next = session.recheck_at(at(9));
    let write = Write::Session(Box::new(next.clone()), Expect::At(Version(1)));
    table.store.commit(vec![write]).await.unwrap();
    let read = table.store.session(id).await.unwrap().unwrap();
    assert_eq!((&read.value, read.version), (&next, Version(2)));
    let listed = table.store.sessions(&user_id(), None, None, 9).await.unwrap();
    assert_eq!(listed.items, [next]);
}

#[tokio::test]
async fn output_of_many_megabytes_is_read_across_pages() {
    let Some(emulator) = Emulator::start() else { return };
    let table = Table::create(&emulator).await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let half = bytes.len() / 2;
    for (offset, part) in [(0, &bytes[..half]), (half, &bytes[half..])] {
        let (offset, bytes) = (offset as u64, Secret::new(part.to_vec()));
        let chunk = Write::Output { job: job_id("j"), stream: Stream::Stdout, offset, bytes };
        table.store.commit(vec![chunk]).await.unwrap();
    }
    let read = |offset: usize, limit: usize| {
        let (offset, limit) = (offset as u64, limit as u64);
        let store = table.store.clone();
        async move {
            let got = store.output(job_id("j"), Stream::Stdout, offset, limit).await;
            got.unwrap().into_inner()
        }
    };
    assert!(read(0, usize::MAX).await == bytes);
    assert!(read(half + 7, 600_000).await == bytes[half + 7..half + 600_007]);
    assert!(read(bytes.len() - 1, 10).await == bytes[bytes.len() - 1..]);
    assert_eq!(read(bytes.len(), 10).await, b"");
}

#[tokio::test]
async fn lists_longer_than_one_call_are_read_completely() {
    let Some(emulator) = Emulator::start() else { return };
    let table = Table::create(&emulator).await;
    let names = (0..130_u128).map(|n| Ulid::from_parts(1_767_225_600_000, n));
    let ids: Vec<JobId> = names.map(JobId::from_ulid).collect();
    for id in &ids {
        let work = Work::Execute(Box::new(command("true")));
        let session = session_id("s");
        let common = job::Common { id: *id, session, user: user_id(), work, created_at: at(0) };
        table.store.commit(vec![put(Job::accept(common), Expect::New)]).await.unwrap();
    }
    let open = table.store.open_jobs(session_id("s"), Concurrency::Serial, 500).await.unwrap();
    assert_eq!(open.iter().map(|read| read.value.id()).collect::<Vec<_>>(), ids);
    let first = table.store.jobs(session_id("s"), None, 120).await.unwrap();
    let rest = table.store.jobs(session_id("s"), first.next.as_deref(), 120).await.unwrap();
    let listed = first.items.iter().chain(&rest.items).map(Job::id);
    assert_eq!(listed.collect::<Vec<_>>(), ids);
    // Jobs are not listed when they are due, but sessions are.
    assert_eq!(table.store.due(at(1000), 500).await.unwrap(), []);
    for id in &ids {
        let id = SessionId::from_ulid(id.ulid());
        let queued = Queued::accept(id, user_id(), job_id("j"), spec(), stamp(0)).any();
        let write = Write::Session(Box::new(queued.session), Expect::New);
        table.store.commit(vec![write]).await.unwrap();
    }
    assert_eq!(table.store.due(at(1000), 500).await.unwrap().len(), 130);
}

#[tokio::test]
async fn an_invalid_cursor_lists_nothing() {
    let Some(emulator) = Emulator::start() else { return };
    let table = Table::create(&emulator).await;
    let new = Write::Session(Box::new(super::session("s")), Expect::New);
    table.store.commit(vec![new, put(job("s", "j"), Expect::New)]).await.unwrap();
    for cursor in ["", "x", "sh_", "job_01", "sh_zzzzzzzzzzzzzzzzzzzzzzzzzz"] {
        let user = user_id();
        let sessions = table.store.sessions(&user, None, Some(cursor), 10).await.unwrap();
        let jobs = table.store.jobs(session_id("s"), Some(cursor), 10).await.unwrap();
        let deliveries = table.store.deliveries(&user, None, Some(cursor), 10).await.unwrap();
        assert_eq!((sessions.items, sessions.next), (vec![], None));
        assert_eq!((jobs.items, jobs.next), (vec![], None));
        assert_eq!((deliveries.items, deliveries.next), (vec![], None));
    }
}

#[tokio::test]
async fn only_idempotent_responses_and_final_warm_tasks_expire() {
    let Some(emulator) = Emulator::start() else { return };
    let table = Table::create(&emulator).await;
    let answer = IdempotentResponse {
        user: user_id(),
        key: "key".into(),
        fingerprint: "f".into(),
        status: 202,
        location: None,
        body: Secret::new("{}".into()),
        created_at: at(0),
        expires_at: at(100),
    };
    let warm = |n| WarmId::from_ulid(Ulid::from_parts(at(0).millis().unsigned_abs(), n));
    let plan = |n| Warm::plan(warm(n), kind(), at(0), at(60));
    let over = Outcome::Completed { exit: None, failure: None };
    let writes = vec![
        Write::IdempotentResponse(Box::new(answer)),
        Write::Warm(Box::new(plan(1).into()), Expect::New),
        Write::Warm(Box::new(plan(2).retire().into()), Expect::New),
        Write::Session(Box::new(super::session("s")), Expect::New),
        put(job("s", "j").end(over, at(1)), Expect::New),
    ];
    table.store.commit(writes).await.unwrap();
    let items = table.items().await;
    let expiring = items.iter().filter(|item| item.contains_key("ttl"));
    let mut expiring: Vec<&String> = expiring.map(|item| item["pk"].as_s().unwrap()).collect();
    expiring.sort();
    assert_eq!(expiring, [&format!("answers#{}", user_id()), &warm(2).to_string()]);
    let response = table.item(&format!("answers#{}", user_id()), "key").await.unwrap();
    let ttl: i64 = response["ttl"].as_n().unwrap().parse().unwrap();
    assert_eq!(ttl, at(101).millis() / 1000);
}

fn with_webhook(name: &str) -> Session {
    let mut spec = spec();
    let (url, secret) = (Secret::new("https://x".into()), Secret::new("whsec_".into()));
    spec.webhook = Some(Endpoint { url, events: Vec::new(), secret, gone: false });
    let (id, start) = (session_id(name), job_id("+s"));
    Queued::accept(id, user_id(), start, spec, stamp(0)).any().session
}

fn ended(session: Session) -> Session {
    let stop = Event::Stop { reason: Reason::UserStop, note: None };
    let stopping = session.on(stop, stamp(1)).unwrap().session;
    testkit::finish(stopping, stamp(2)).session
}

fn delivery(session: SessionId, name: &str) -> Delivery {
    let id = DeliveryId::from_ulid(job_id(name).ulid());
    let (event, body) = (EventType::SessionStopped, Secret::new("x".repeat(1000)));
    Pending::new(Payload { id, user: user_id(), session, event, body, created_at: at(0) }).into()
}

#[tokio::test]
async fn a_session_is_deleted_with_all_items_once_its_webhooks_are_final() {
    let Some(emulator) = Emulator::start() else { return };
    let table = Table::create(&emulator).await;
    let session = with_webhook("s");
    let id = session.id();
    let pending = delivery(id, "d");
    let over = Outcome::Completed { exit: None, failure: None };
    let chunk = |job: &str| {
        let bytes = Secret::new(b"text".to_vec());
        Write::Output { job: job_id(job), stream: Stream::Stderr, offset: 0, bytes }
    };
    let transition = Queued::accept(id, user_id(), job_id("+s"), spec(), stamp(0)).any();
    let entries = transition.entries.into_iter().map(|entry| Write::Entry(Box::new(entry)));
    let mut writes = vec![
        Write::Session(Box::new(session.clone()), Expect::New),
        Write::Delivery(Box::new(pending.clone()), Expect::New),
        Write::TakeTurn { session: id, job: job_id("j") },
        put(large_job("j"), Expect::New),
        chunk("j"),
    ];
    writes.extend(entries);
    table.store.commit(writes).await.unwrap();
    let writes = vec![
        put(large_job("j").end(over, at(3)), Expect::At(Version(1))),
        Write::Session(Box::new(ended(session)), Expect::At(Version(1))),
        Write::EndTurn { session: id, job: job_id("j") },
    ];
    table.store.commit(writes).await.unwrap();
    assert_eq!(table.store.forget(at(100), 10).await.unwrap(), 0);
    assert!(table.store.session(id).await.unwrap().is_some());

    let Delivery::Pending(pending) = pending else { panic!("a new delivery is pending") };
    let disabled = pending.disabled(None, at(5));
    let write = Write::Delivery(Box::new(disabled.into()), Expect::At(Version(1)));
    table.store.commit(vec![write]).await.unwrap();
    assert_eq!(table.store.forget(at(2), 10).await.unwrap(), 0);
    assert_eq!(table.store.forget(at(100), 10).await.unwrap(), 1);
    assert_eq!(table.items().await, Vec::<Item>::new());
}

#[tokio::test]
async fn a_record_that_cannot_be_decoded_is_an_error_without_its_content() {
    let Some(emulator) = Emulator::start() else { return };
    let table = Table::create(&emulator).await;
    let text = |text: &str| AttributeValue::S(text.into());
    let invalid = table.client.put_item().table_name(&table.name);
    let invalid = invalid.item("pk", text(&session_id("s").to_string())).item("sk", text("record"));
    let invalid = invalid.item("version", AttributeValue::N("1".into()));
    invalid.item("record", text(r#"{"state":"s3cret"}"#)).send().await.unwrap();
    let error = table.store.session(session_id("s")).await.unwrap_err();
    assert_eq!(error.to_string(), "reading a session failed");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}
