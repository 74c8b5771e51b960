//! Starting, stopping, and everything in between.

use runner::protocol::Event;
use sandbox::{Desired, Status, StopCode};

use crate::host::{host, spec};

#[test]
fn a_sandbox_starts_answers_and_is_gone_when_stopped() {
    let Some(host) = host() else { return };
    let id = host.driver.run(spec("a-token")).unwrap();
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
    host.driver.stop(&id, "again").unwrap();
    assert_eq!(host.driver.describe(&[id]), [stopped]);
}
