//! What the doctor says is what happens.

use sandbox::{Runtime, Verdict, doctor};

use crate::host::{config, host};

#[test]
fn a_host_that_can_run_sandboxes_is_found_fit() {
    let Some(host) = host() else { return };
    let checks = doctor(&config(host.dir.path()));
    let failed: Vec<_> = checks.iter().filter(|check| check.verdict == Verdict::Fail).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(checks.iter().all(|check| !check.detail.is_empty()));
    let names: Vec<_> = checks.iter().map(|check| check.name).collect();
    let expected = [
        "kernel",
        "namespaces",
        "control groups",
        "seccomp",
        "overlayfs",
        "runtime",
        "network",
        "disk",
    ];
    assert_eq!(names, expected);
}

#[test]
fn what_is_missing_comes_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.runtime = Runtime::Program("/nonexistent/runc".into());
    config.exe = "/bin/false".into();
    let checks = doctor(&config);
    let failed = checks.iter().filter(|check| check.verdict != Verdict::Ok);
    let failed: Vec<_> =
        failed.inspect(|check| assert!(!check.remedy.is_empty(), "{check:?}")).collect();
    for name in ["namespaces", "seccomp", "runtime"] {
        assert!(failed.iter().any(|check| check.name == name), "{name}: {failed:?}");
    }
}
