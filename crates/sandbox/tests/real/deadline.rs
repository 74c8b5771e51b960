//! Sandboxes end after their deadline, whatever became of their driver.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runner::protocol::{Event, Request};
use rustix::process::{Pid, Signal, kill_process};
use sandbox::{Driver, Status, StopCode, TaskId, TaskSpec};

use crate::host::{config, host, host_with, init_of, processes_of, spec};

/// Longest time after its deadline that a sandbox may run.
const GRACE: Duration = Duration::from_secs(60);

/// Whether the process exists and is no zombie.
fn runs(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_for_end(pid: Pid, within: Duration) {
    let deadline = Instant::now() + within;
    while runs(pid) {
        assert!(Instant::now() < deadline, "the sandbox still runs");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_sandbox_without_a_driver_ends_after_its_deadline() {
    let Some(mut host) = host() else { return };
    let lifetime = Some(Duration::from_secs(1));
    let short = host.start(TaskSpec { lifetime, ..spec("deadline-short") });
    let extended = host.start(TaskSpec { lifetime, ..spec("deadline-extended") });
    let mut client = host.client(&extended);
    client.send(Request::SetDeadline { after_ms: 3_600_000 });
    assert_eq!(client.next(), Some(Event::Ok));
    host.driver().set_deadline(&extended, Duration::from_secs(3600));
    let mut busy = host.client(&short);
    busy.start("trap '' TERM; echo armed; while :; do sleep 1; done");
    while !matches!(busy.next(), Some(Event::Output(_))) {}
    let (short_init, extended_init) = (init_of(&host, &short), init_of(&host, &extended));

    host.reopen(|_| wait_for_end(short_init, Duration::from_secs(1) + GRACE));
    assert!(processes_of(&short).is_empty());
    assert!(runs(extended_init), "the extended sandbox must run on");
    host.until_stopped(&short);
    host.stop(&extended);
}

#[test]
fn the_driver_kills_what_does_not_end_by_itself() {
    let Some(host) = host() else { return };
    let id = host.start(TaskSpec { lifetime: Some(Duration::ZERO), ..spec("deadline-hung") });
    // A stopped process neither serves requests nor sees its deadline.
    kill_process(init_of(&host, &id), Signal::STOP).unwrap();
    wait_for_end(init_of(&host, &id), GRACE);
    let stopped = host.wait(&id, Status::Stopped);
    assert_eq!(stopped.stop_code, Some(StopCode::UserInitiated));
    assert_eq!(stopped.stopped_reason, "its deadline has passed");
}

/// The driver of the next test, in a process that is killed.
#[test]
fn a_sandbox_ends_with_a_driver_that_it_belongs_to() {
    const ROLE: &str = "EPHEMERAL_TEST_DRIVER_DIR";
    if let Some(dir) = std::env::var_os(ROLE) {
        let mut config = config(dir.as_ref());
        config.end_with_driver = true;
        let driver = Driver::open(config, |_| {}).unwrap();
        let id = driver.run(spec("deadline-owned")).unwrap();
        while driver.describe(std::slice::from_ref(&id))[0].last_status != Status::Running {}
        std::fs::write(std::path::Path::new(&dir).join("started"), id.as_str()).unwrap();
        loop {
            std::thread::park();
        }
    }
    let Some(host) = host_with(|_| {}) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "deadline::a_sandbox_ends_with_a_driver_that_it_belongs_to"])
        .env(ROLE, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = dir.path().join("started");
    let deadline = Instant::now() + GRACE;
    let id: TaskId = loop {
        if let Ok(id) = std::fs::read_to_string(&started).unwrap_or_default().parse() {
            break id;
        }
        assert!(Instant::now() < deadline, "the driver did not start a sandbox");
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert_ne!(processes_of(&id), Vec::<String>::new());
    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !processes_of(&id).is_empty() {
        assert!(Instant::now() < deadline, "the sandbox has outlived its driver");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert!(sandbox::remove_abandoned(dir.path()).unwrap());
    host.assert_nothing_left(&id);
}
