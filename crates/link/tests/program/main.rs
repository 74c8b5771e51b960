//! The program between the real runner and a service on loopback.

#[cfg(test)]
mod child;
#[cfg(test)]
mod service;

use std::{fs, time::Duration};

use link::frame::{FromRunner, ToRunner};
use runner::protocol::Cause;
use service::{Linked, start};

#[tokio::test]
async fn a_command_runs_and_all_of_its_output_arrives() {
    let Some(linked) = Linked::start() else { return };
    let mut service = linked.accept().await;
    assert_eq!(service.receive().await, FromRunner::Hello { jobs: Vec::new() });
    let script = "head -c 300000 /dev/zero | tr '\\0' x; echo error >&2; exit 3";
    service.run(&start("j", script, (0, 0))).await;
    let job = service.follow("j").await;
    assert_eq!(job.stdout.len(), 300_000);
    assert!(job.stdout.iter().all(|byte| *byte == b'x'));
    assert_eq!(job.stderr, b"error\n");
    assert_eq!(job.exit.unwrap().cause, Cause::Exited { code: 3 });
}

#[tokio::test]
async fn a_short_command_is_one_report() {
    let Some(linked) = Linked::start() else { return };
    let mut service = linked.accept().await;
    service.receive().await;
    service.run(&start("j", "echo hi", (0, 0))).await;
    let FromRunner::Report(report) = service.receive().await else { panic!("no report") };
    assert_eq!(report.output[0].data.0, b"hi\n");
    assert!(report.end.is_some());
}

#[tokio::test]
async fn a_command_that_is_sent_twice_runs_once() {
    let Some(linked) = Linked::start() else { return };
    let mut service = linked.accept().await;
    service.receive().await;
    let start = start("j", "echo run >>runs; sleep 0.2; cat runs", (0, 0));
    let (start, directory) = linked.in_directory(start);
    service.run(&start).await;
    service.run(&start).await;
    assert_eq!(service.follow("j").await.stdout, b"run\n");
    service.run(&start).await;
    let FromRunner::Report(late) = service.receive().await else { panic!("no report") };
    assert!(late.end.is_some());
    assert_eq!(fs::read_to_string(directory.join("runs")).unwrap(), "run\n");
}

#[tokio::test]
async fn output_goes_on_where_it_was_stored_after_the_connection_was_lost() {
    let Some(linked) = Linked::start() else { return };
    let mut service = linked.accept().await;
    service.receive().await;
    service.run(&start("j", "seq 1 30000", (0, 0))).await;
    // Several losses, each with a report that was never answered.
    let mut job = service::Job::default();
    for _ in 0..3 {
        let FromRunner::Report(report) = service.receive().await else { panic!("no report") };
        let answer = job.store(&report);
        drop(service);
        service = linked.accept().await;
        let hello = service.receive().await;
        assert_eq!(hello, FromRunner::Hello { jobs: vec!["j".into()] });
        service.send(&answer).await;
    }
    let job = service.follow_from("j", job).await;
    let wanted: String = (1..=30_000).map(|number| format!("{number}\n")).collect();
    assert!(job.stdout == wanted.as_bytes());
}

#[tokio::test]
async fn a_program_that_was_killed_is_followed_by_one_that_attaches() {
    let Some(mut linked) = Linked::start() else { return };
    let mut service = linked.accept().await;
    service.receive().await;
    service.send(&ToRunner::Token { token: "second".into() }).await;
    service.run(&start("j", "echo begun; sleep 1; echo done", (0, 0))).await;
    let FromRunner::Report(report) = service.receive().await else { panic!("no report") };
    let mut job = service::Job::default();
    job.store(&report);
    linked.restart();
    let mut service = linked.accept().await;
    assert_eq!((service.token.as_str(), service.attempt), ("Bearer second", 2));
    assert_eq!(service.receive().await, FromRunner::Hello { jobs: Vec::new() });
    service.run(&start("j", "echo must not run", (job.stdout.len() as u64, 0))).await;
    assert_eq!(service.follow_from("j", job).await.stdout, b"begun\ndone\n");
}

#[tokio::test]
async fn a_command_is_signalled_and_cancelled() {
    let Some(linked) = Linked::start() else { return };
    let mut service = linked.accept().await;
    service.receive().await;
    service
        .run(&start(
            "j",
            "trap 'echo caught' USR1; echo ready; while :; do sleep 0.05; done",
            (0, 0),
        ))
        .await;
    let mut job = service::Job::default();
    service.until(&mut job, |job| job.stdout == b"ready\n").await;
    for _ in 0..2 {
        let (job, id) = ("j".to_owned(), "1".to_owned());
        service.send(&ToRunner::Signal { job, id, signal: 10 }).await;
    }
    service.done("1").await;
    service.until(&mut job, |job| job.stdout == b"ready\ncaught\n").await;
    service.send(&ToRunner::Cancel { job: "j".into(), id: "2".into() }).await;
    let job = service.follow_from("j", job).await;
    assert!(matches!(job.exit.unwrap().cause, Cause::Cancelled { ended: Some(_) }));
    assert_eq!(job.stdout, b"ready\ncaught\n");
}

#[tokio::test]
async fn the_program_ends_once_its_last_report_is_stored() {
    let Some(mut linked) = Linked::start() else { return };
    let mut service = linked.accept().await;
    assert_eq!(service.token, "Bearer first");
    assert_eq!(service.task, "the-task");
    service.receive().await;
    service.run(&start("j", "echo done", (0, 0))).await;
    let FromRunner::Report(report) = service.receive().await else { panic!("no report") };
    linked.terminate();
    let mut job = service::Job::default();
    service.send(&job.store(&report)).await;
    assert!(linked.ended(Duration::from_secs(20)).await);
}

#[tokio::test]
async fn hello_is_repeated_until_it_is_answered_and_a_request_is_confirmed_again() {
    let Some(linked) = Linked::start() else { return };
    let mut service = linked.accept().await;
    let hello = FromRunner::Hello { jobs: Vec::new() };
    for _ in 0..2 {
        assert_eq!(service.receive().await, hello);
    }
    service.send(&ToRunner::Token { token: "second".into() }).await;
    let cancel = ToRunner::Cancel { job: "j".into(), id: "c".into() };
    service.send(&cancel).await;
    // The confirmation is lost with the connection.
    service.done("c").await;
    drop(service);
    let mut service = linked.accept().await;
    assert_eq!(service.receive().await, hello);
    service.send(&cancel).await;
    service.done("c").await;
    service.run(&start("j", "echo must not run", (0, 0))).await;
    let job = service.follow("j").await;
    assert_eq!(job.stdout, b"");
    assert!(matches!(job.exit.unwrap().cause, Cause::Cancelled { ended: None }));
}
