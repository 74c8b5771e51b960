//! Starting, stopping and recovering sandboxes.

use std::fs;

use runner::protocol::Event;
use rustix::process::{Signal, kill_process};
use sandbox::{Desired, Driver, OpenError, Status, StopCode, StopError};

use crate::host::{config, edit_record, host, host_with, init_of, processes_of, spec};

#[test]
fn a_sandbox_starts_answers_and_is_removed_when_stopped() {
    let Some(host) = host() else { return };
    let id = host.driver().run(spec("a-token")).unwrap();
    let provisioning = host.wait(&id, Status::Provisioning);
    let running = host.wait(&id, Status::Running);
    assert!(running.version > provisioning.version);
    assert!(running.started_at_ms.is_some());
    assert!(matches!(host.client(&id).probe(), Event::Ready { .. }));

    let done = host.sh(&id, "id -un; pwd; echo out; echo err >&2");
    assert_eq!(done.stdout, "shelluser\n/home/shelluser\nout\n");
    assert_eq!(done.stderr, "err\n");

    let stopped = host.stop(&id);
    assert_eq!(stopped.stop_code, Some(StopCode::UserInitiated));
    assert_eq!(stopped.stopped_reason, "the test is over");
    assert_eq!(stopped.desired, Desired::Stopped);
    assert!(!stopped.oom_killed);
    host.driver().stop(&id, "again").unwrap();
    assert_eq!(host.driver().describe(&[id]), [stopped]);
}

#[test]
fn one_token_starts_one_task_also_after_a_restart() {
    let Some(mut host) = host() else { return };
    let id = host.start(spec("once"));
    let init = init_of(&host, &id);
    assert_eq!(host.driver().run(spec("once")).unwrap(), id);
    host.reopen(|_| {});
    assert_eq!(host.driver().run(spec("once")).unwrap(), id);
    assert_eq!(init_of(&host, &id), init);
    assert_eq!(host.driver().list(None).len(), 1);
    host.stop(&id);
    assert_eq!(host.driver().run(spec("once")).unwrap(), id);
    assert_eq!(host.driver().list(None)[0].last_status, Status::Stopped);
}

#[test]
fn tasks_are_listed_by_owner_until_they_are_forgotten() {
    let Some(host) = host() else { return };
    let id = host.start(spec("listed"));
    assert_eq!(host.driver().list(Some("sh_test")).len(), 1);
    assert!(host.driver().list(Some("sh_other")).is_empty());
    host.driver().forget(&id);
    assert_eq!(host.driver().list(None).len(), 1, "a live task is not forgotten");
    host.stop(&id);
    host.driver().forget(&id);
    assert!(host.driver().list(None).is_empty());
    assert!(matches!(host.driver().stop(&id, "late"), Err(StopError::Unknown)));
}

#[test]
fn a_job_that_ignores_sigterm_ends_with_the_sandbox() {
    let Some(host) = host() else { return };
    let id = host.start(spec("stubborn"));
    let mut client = host.client(&id);
    client.start(
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do :; done' & echo deaf; wait",
    );
    while !matches!(client.next(), Some(Event::Output(_))) {}
    assert_eq!(host.stop(&id).stop_code, Some(StopCode::UserInitiated));
}

#[test]
fn the_end_of_pid_1_is_reported() {
    let Some(host) = host() else { return };
    let id = host.start(spec("killed"));
    kill_process(init_of(&host, &id), Signal::KILL).unwrap();
    let stopped = host.wait(&id, Status::Stopped);
    assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(stopped.exit_code, Some(137));
    assert_eq!(stopped.stopped_reason, "PID 1 ended with 137");
    host.assert_nothing_left(&id);
}

#[test]
fn a_sandbox_survives_its_driver_and_is_found_again() {
    let Some(mut host) = host() else { return };
    let id = host.start(spec("found"));
    host.sh(&id, "echo kept > /tmp/file");
    host.reopen(|_| {});
    let again = host.wait(&id, Status::Running);
    assert!(again.version >= 2);
    assert_eq!(host.sh(&id, "cat /tmp/file").stdout, "kept\n");
    host.stop(&id);
}

#[test]
fn a_sandbox_that_ended_without_a_driver_is_removed_by_the_next_driver() {
    let Some(mut host) = host() else { return };
    let id = host.start(spec("died"));
    let init = init_of(&host, &id);
    host.reopen(|_| {
        kill_process(init, Signal::KILL).unwrap();
        // Reaps PID 1, so that the next driver does not find a zombie child.
        rustix::process::waitpid(Some(init), rustix::process::WaitOptions::empty()).unwrap();
    });
    let stopped = host.wait(&id, Status::Stopped);
    assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(stopped.exit_code, None);
    host.assert_nothing_left(&id);
}

#[test]
fn an_interrupted_stop_is_continued() {
    let Some(mut host) = host() else { return };
    let id = host.start(spec("cut"));
    host.reopen(|dir| {
        edit_record(dir, &id, |record| {
            record["facts"]["last_status"] = "STOPPING".into();
            record["facts"]["desired"] = "STOPPED".into();
            record["facts"]["stop_code"] = "UserInitiated".into();
        });
    });
    let stopped = host.wait(&id, Status::Stopped);
    assert_eq!(stopped.stop_code, Some(StopCode::UserInitiated));
    host.assert_nothing_left(&id);
}

#[test]
fn an_interrupted_start_is_repeated_and_leaves_one_sandbox() {
    let Some(mut host) = host() else { return };
    let id = host.start(spec("half"));
    let first = init_of(&host, &id);
    host.reopen(|dir| {
        edit_record(dir, &id, |record| {
            record["facts"]["last_status"] = "PROVISIONING".into();
            record["init"] = serde_json::Value::Null;
        });
    });
    host.wait(&id, Status::Running);
    assert_ne!(init_of(&host, &id), first);
    assert_eq!(processes_of(&id).len(), 1);
    host.stop(&id);
}

#[test]
fn a_sandbox_without_a_record_is_removed() {
    let Some(mut host) = host() else { return };
    let id = host.start(spec("orphan"));
    host.reopen(|dir| fs::remove_file(dir.join(format!("records/{id}.json"))).unwrap());
    host.assert_nothing_left(&id);
    assert!(host.driver().list(None).is_empty());
}

#[test]
fn a_task_of_an_earlier_boot_is_stopped() {
    let Some(mut host) = host() else { return };
    let id = host.start(spec("rebooted"));
    host.reopen(|dir| {
        edit_record(dir, &id, |record| record["init"]["boot"] = "an earlier one".into());
    });
    let stopped = host.wait(&id, Status::Stopped);
    assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
    host.assert_nothing_left(&id);
}

#[test]
fn a_task_stopped_before_it_runs_is_removed() {
    let Some(host) = host() else { return };
    let ids: Vec<_> =
        (0..8).map(|n| host.driver().run(spec(&format!("early-{n}"))).unwrap()).collect();
    for id in &ids {
        host.driver().stop(id, "changed my mind").unwrap();
    }
    let mut left = ids.clone();
    while let Some(id) = left.pop() {
        let stopped = host.until_stopped(&id);
        assert_eq!(stopped.stop_code, Some(StopCode::UserInitiated));
        host.assert_nothing_left(&id);
    }
}

#[test]
fn many_tasks_start_concurrently() {
    let Some(host) = host() else { return };
    let ids: Vec<_> =
        (0..20).map(|n| host.driver().run(spec(&format!("many-{n}"))).unwrap()).collect();
    for id in &ids {
        host.until(id, |facts| facts.last_status >= Status::Running);
        assert_eq!(host.sh(id, "echo here").stdout, "here\n");
    }
    for id in &ids {
        host.driver().stop(id, "over").unwrap();
    }
    for id in &ids {
        host.until_stopped(id);
        host.assert_nothing_left(id);
    }
}

#[test]
fn a_failed_launcher_is_the_stop_reason() {
    let Some(host) = host_with(|config| config.exe = "/bin/false".into()) else { return };
    let id = host.driver().run(spec("false")).unwrap();
    let stopped = host.until_stopped(&id);
    assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
    assert_eq!(stopped.stopped_reason, "the launcher failed: it printed nothing");
    host.assert_nothing_left(&id);
}

#[test]
fn a_second_driver_on_a_directory_is_an_error() {
    let Some(host) = host() else { return };
    let second = Driver::open(config(host.dir.path()), |_| {});
    assert!(matches!(second, Err(OpenError::InUse(_))));
}

#[test]
fn a_path_too_long_for_a_socket_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(100));
    assert!(matches!(Driver::open(config(&long), |_| {}), Err(OpenError::PathTooLong(_))));
}
