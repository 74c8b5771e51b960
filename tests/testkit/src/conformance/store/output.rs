//! Output and idempotent responses.

use domain::{
    Secret, UserId,
    job::Outcome,
    ports::{CommitError, Expect, IdempotentResponse, Stream, Write},
};

use super::{Made, at, conflicts, first, job, put, put_job};
use crate::{job_id, user_id};

pub(super) async fn output_is_appended_only_at_its_end(store: &Made) {
    put(store, vec![piece(Stream::Stdout, 0, b"abc"), piece(Stream::Stderr, 0, b"x")]).await;
    conflicts(store, vec![piece(Stream::Stdout, 0, b"abc")]).await;
    conflicts(store, vec![piece(Stream::Stdout, 4, b"e")]).await;
    conflicts(store, vec![piece(Stream::Stderr, 3, b"y")]).await;
    put(store, vec![piece(Stream::Stdout, 3, b"d"), piece(Stream::Stdout, 4, b"ef")]).await;
    assert_eq!(read(store, Stream::Stdout, 0, 100).await, b"abcdef");
    assert_eq!(read(store, Stream::Stderr, 0, 100).await, b"x");
}

pub(super) async fn output_is_read_from_any_offset(store: &Made) {
    put(store, vec![piece(Stream::Stdout, 0, b"abc")]).await;
    put(store, vec![piece(Stream::Stdout, 3, b"def")]).await;
    put(store, vec![piece(Stream::Stdout, 6, b"ghi")]).await;
    for from in 0..=9_usize {
        for count in 0..=9_usize {
            let wanted = &b"abcdefghi"[from..(from + count).min(9)];
            let got = read(store, Stream::Stdout, from as u64, count as u64).await;
            assert_eq!(got, wanted, "{count} bytes from {from}");
        }
    }
    assert_eq!(read(store, Stream::Stdout, 100, 5).await, b"");
    assert_eq!(read(store, Stream::Stderr, 0, 5).await, b"");
}

pub(super) async fn output_of_any_bytes_comes_back_whole(store: &Made) {
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    put(store, vec![piece(Stream::Stdout, 0, &bytes)]).await;
    put(store, vec![piece(Stream::Stdout, 200_000, &bytes)]).await;
    assert_eq!(read(store, Stream::Stdout, 0, 1_000_000).await, [&bytes[..], &bytes[..]].concat());
    assert_eq!(read(store, Stream::Stdout, 199_999, 2).await, [bytes[199_999], bytes[0]]);
}

pub(super) async fn output_that_comes_with_the_end_of_its_job_comes_back(store: &Made) {
    for size in [0, 1, 100, 600, 5000] {
        let name = format!("j{size}");
        let (id, text) = (job_id(&name), vec![b'x'; size]);
        put(store, vec![put_job(job("s", &name).claim("w", at(0)), Expect::New)]).await;
        let written = |stream, bytes: &[u8]| {
            let bytes = Secret::new(bytes.to_vec());
            Write::Output { job: id, stream, offset: 0, bytes }
        };
        let outcome = Outcome::Completed { exit: None, failure: None };
        let ended = job("s", &name).claim("w", at(0)).end(outcome, None, at(1));
        let writes = vec![
            put_job(ended, first()),
            written(Stream::Stdout, &text),
            written(Stream::Stderr, b"error"),
        ];
        put(store, writes).await;
        let stored = async |stream, from| {
            store.output(id, stream, from, 10_000).await.unwrap().expose().clone()
        };
        assert_eq!(stored(Stream::Stdout, 0).await, text, "{size} bytes");
        assert_eq!(stored(Stream::Stderr, 2).await, b"ror", "{size} bytes");
        assert_eq!(stored(Stream::Stderr, 9).await, b"", "{size} bytes");
        assert!(store.job(id).await.unwrap().is_some());
    }
}

pub(super) async fn an_answer_is_kept_until_it_expires(store: &Made) {
    let (first, later) = (answer(&user_id(), 0), answer(&user_id(), 99));
    put(store, vec![Write::IdempotentResponse(Box::new(first.clone()))]).await;
    assert_eq!(store.answer(&user_id(), "key", at(99)).await.unwrap(), Some(first));
    assert_eq!(store.answer(&user_id(), "other", at(99)).await.unwrap(), None);

    let refused = store.commit(vec![Write::IdempotentResponse(Box::new(later))]).await;
    assert!(matches!(refused, Err(CommitError::AlreadyAnswered)), "{refused:?}");
    let other = UserId::new("bob");
    put(store, vec![Write::IdempotentResponse(Box::new(answer(&other, 50)))]).await;

    assert_eq!(store.answer(&user_id(), "key", at(100)).await.unwrap(), None);
    let fresh = answer(&user_id(), 100);
    put(store, vec![Write::IdempotentResponse(Box::new(fresh.clone()))]).await;
    assert_eq!(store.answer(&user_id(), "key", at(101)).await.unwrap(), Some(fresh));
}

fn piece(stream: Stream, offset: u64, bytes: &[u8]) -> Write {
    Write::Output { job: job_id("j"), stream, offset, bytes: Secret::new(bytes.to_vec()) }
}

async fn read(store: &Made, stream: Stream, offset: u64, limit: u64) -> Vec<u8> {
    store.output(job_id("j"), stream, offset, limit).await.unwrap().into_inner()
}

/// A response that expires after 100 seconds.
fn answer(user: &UserId, seconds: i64) -> IdempotentResponse {
    IdempotentResponse {
        user: user.clone(),
        key: "key".into(),
        fingerprint: "same".into(),
        status: 202,
        location: Some("/v1/jobs/job_x".into()),
        body: Secret::new("{\"jobId\": \"é\"}".into()),
        created_at: at(seconds),
        expires_at: at(seconds + 100),
    }
}
