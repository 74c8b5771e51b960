use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use adapters::clock::SystemClock;
use adapters::shell::RunnerShell;
use aws::shell::ExecDial;
use base64::prelude::*;
use domain::{
    Secret, TaskId,
    command::Command,
    file::NewFile,
    job::Exit,
    ports::{Attached, Clock, CommandEnd, CommandEvent, EndCause, Shell, ShellError, Stream},
};
use testkit::{RealRunner, conformance, job_id};

use crate::ecs::{Ecs, TASK};

struct Fixture {
    ecs: Arc<Ecs>,
    shell: RunnerShell<ExecDial>,
}

async fn fixture() -> Option<Fixture> {
    let ecs = Ecs::start(RealRunner::start_apart()?).await;
    let shell = ecs.shell();
    Some(Fixture { ecs, shell })
}

impl Fixture {
    async fn probe(&self) -> Result<(), ShellError> {
        self.shell.probe(&TaskId::new(TASK)).await
    }

    async fn start(&self, name: &str, command: &Command) -> Box<dyn Attached> {
        let (task, env) = (TaskId::new(TASK), BTreeMap::new());
        let started = self.shell.start(&task, job_id(name), command, &env, (0, 0)).await.unwrap();
        started.attached().unwrap()
    }

    async fn run(&self, name: &str, command: &Command) -> (Vec<u8>, CommandEnd) {
        finish(self.start(name, command).await).await
    }

    /// Waits until all programs in terminals have ended.
    async fn await_bridges(&self) {
        let bridges = std::mem::take(&mut *self.ecs.bridges.lock());
        for mut bridge in bridges {
            let (send, ended) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || send.send(bridge.wait()));
            let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
            ended.expect("the program ends with its terminal").unwrap().unwrap();
        }
    }
}

async fn finish(mut attached: Box<dyn Attached>) -> (Vec<u8>, CommandEnd) {
    let mut stdout = Vec::new();
    loop {
        let until = SystemClock.now() + Duration::from_secs(30);
        match attached.next(until).await.unwrap().expect("an event within 30 s") {
            CommandEvent::Started => {}
            CommandEvent::Output { stream, bytes, .. } => {
                assert_eq!(stream, Stream::Stdout);
                stdout.extend(bytes);
            }
            CommandEvent::Ended(end) => return (stdout, end),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_the_port_passes() {
    if RealRunner::start_apart().is_none() {
        return;
    }
    conformance::shell_suite(async || {
        let fixture = fixture().await.unwrap();
        conformance::ShellUnderTest {
            shell: Arc::new(fixture.shell),
            task: TaskId::new(TASK),
            clock: Arc::new(SystemClock),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_value_passes_in_both_directions() {
    let Some(fixture) = fixture().await else { return };
    // The largest standard input that the API accepts.
    let stdin: Vec<u8> = (0..=255).cycle().take(128 << 10).collect();
    let command = Command { stdin: Secret::new(stdin.clone()), ..testkit::command("cat") };
    let (stdout, end) = fixture.run("a", &command).await;
    assert_eq!((end.cause, end.exit), (EndCause::Exited, Some(Exit::Code(0))));
    assert!(stdout == stdin, "what cat read is what cat wrote");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_start_pass_over_channels_of_their_own() {
    let Some(fixture) = fixture().await else { return };
    fixture.probe().await.unwrap();
    let (dir, _) = fixture.run("a", &testkit::command("mktemp -d")).await;
    let dir = String::from_utf8(dir).unwrap().trim().to_owned();
    let bytes: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
    let base64 = BASE64_STANDARD.encode(&bytes);
    let file = NewFile { path: format!("{dir}/bytes"), mode: Some(0o640), base64 };
    fixture.shell.write_files(&TaskId::new(TASK), &[file]).await.unwrap();
    let line = format!("cat {dir}/bytes; rm -r {dir}");
    let (read, _) = fixture.run("b", &testkit::command(&line)).await;
    assert!(read == bytes, "what is read is what was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_serves_all_commands_of_a_task() {
    let Some(fixture) = fixture().await else { return };
    fixture.probe().await.unwrap();
    for name in ["a", "b", "c"] {
        let (stdout, _) = fixture.run(name, &testkit::command("echo here")).await;
        assert_eq!(stdout, b"here\n");
        fixture.shell.release(&TaskId::new(TASK), job_id(name)).await.unwrap();
    }
    assert_eq!(fixture.ecs.session_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_is_replaced() {
    let Some(fixture) = fixture().await else { return };
    fixture.probe().await.unwrap();
    fixture.ecs.close_channels();
    let (stdout, _) = fixture.run("a", &testkit::command("echo here")).await;
    assert_eq!(stdout, b"here\n");
    assert_eq!(fixture.ecs.session_count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_outlives_its_session_and_is_followed_again() {
    let Some(fixture) = fixture().await else { return };
    let command = testkit::command(
        "echo one; read line; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo two",
    );
    let mut attached = fixture.start("a", &command).await;
    let until = SystemClock.now() + Duration::from_secs(30);
    while !matches!(attached.next(until).await.unwrap(), Some(CommandEvent::Output { .. })) {}
    fixture.ecs.close_channels();
    assert!(matches!(attached.next(until).await, Err(ShellError::NotReady)));
    let flag = fixture.ecs.runner.lock().dir().join("tmp/go");
    std::fs::write(flag, "").unwrap();
    let (stdout, _) = fixture.run("a", &command).await;
    assert_eq!(stdout, b"one\ntwo\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_agent_is_not_connected_is_not_ready() {
    let Some(fixture) = fixture().await else { return };
    fixture.ecs.refuse(
        "TargetNotConnectedException",
        "The execute command failed due to an internal error.",
    );
    fixture.ecs.refuse("InvalidParameterException", "The execute command failed because execute command was not enabled when the task was run or the execute command agent isn't running.");
    for _ in 0..2 {
        assert!(matches!(fixture.probe().await, Err(ShellError::NotReady)));
    }
    fixture.probe().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_does_not_listen_yet_is_not_ready() {
    let Some(fixture) = fixture().await else { return };
    fixture.ecs.runner.lock().kill();
    assert!(matches!(fixture.probe().await, Err(ShellError::NotReady)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_stopped_is_gone() {
    let Some(fixture) = fixture().await else { return };
    let mut attached = fixture.start("a", &testkit::command("sleep 100")).await;
    let until = SystemClock.now() + Duration::from_secs(30);
    assert_eq!(attached.next(until).await.unwrap(), Some(CommandEvent::Started));
    fixture.ecs.stopped.store(true, SeqCst);
    fixture.ecs.close_channels();
    assert!(matches!(attached.next(until).await, Err(ShellError::Gone)));
    fixture.ecs.refuse("TargetNotConnectedException", "The execute command failed.");
    assert!(matches!(fixture.probe().await, Err(ShellError::Gone)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_call_is_not_ready() {
    let Some(fixture) = fixture().await else { return };
    for _ in 0..3 {
        fixture.ecs.refuse("ThrottlingException", "Rate exceeded");
    }
    assert!(matches!(fixture.probe().await, Err(ShellError::NotReady)));
    fixture.probe().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_error_is_a_backend_error() {
    let Some(fixture) = fixture().await else { return };
    fixture.ecs.refuse("AccessDeniedException", "not authorized");
    assert!(matches!(fixture.probe().await, Err(ShellError::Backend(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bridge_is_left_in_the_task_when_a_worker_disconnects() {
    let Some(fixture) = fixture().await else { return };
    let command = testkit::command("sleep 100");
    let mut attached = fixture.start("a", &command).await;
    let until = SystemClock.now() + Duration::from_secs(30);
    assert_eq!(attached.next(until).await.unwrap(), Some(CommandEvent::Started));
    drop(attached);
    fixture.await_bridges().await;
    // The command still runs.
    fixture.shell.cancel(&TaskId::new(TASK), job_id("a")).await.unwrap();
    let (_, end) = fixture.run("a", &command).await;
    assert_eq!(end.cause, EndCause::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bridge_is_left_in_the_task_when_a_worker_disconnects_before_the_greeting() {
    let Some(fixture) = fixture().await else { return };
    fixture.ecs.is_slow.store(true, SeqCst);
    tokio::select! {
        done = fixture.probe() => panic!("{done:?} without a greeting"),
        () = fixture.ecs.opened.notified() => {}
    }
    fixture.await_bridges().await;
}
