//! The results of `doctor` match what the host can do.

use sandbox::{CheckStatus, Runtime, doctor};

use crate::host::{config, host};

#[test]
fn a_host_that_can_run_sandboxes_passes_all_required_checks() {
    let Some(host) = host() else { return };
    let checks = doctor(&config(host.dir.path()));
    let failed: Vec<_> = checks.iter().filter(|check| check.status == CheckStatus::Fail).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(checks.iter().all(|check| !check.detail.is_empty()));
    let names: Vec<_> = checks.iter().map(|check| check.name).collect();
    let expected = [
        "kernel",
        "namespaces",
        "uid range",
        "idmapped mounts",
        "control groups",
        "seccomp",
        "overlayfs",
        "runtime",
        "network",
        "disk",
        "disks",
        "budget",
    ];
    assert_eq!(names, expected);
}

#[test]
fn every_failed_check_has_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.runtime = Runtime::Program("/nonexistent/runc".into());
    config.exe = "/bin/false".into();
    let checks = doctor(&config);
    let failed = checks.iter().filter(|check| check.status != CheckStatus::Ok);
    let failed: Vec<_> =
        failed.inspect(|check| assert!(!check.remedy.is_empty(), "{check:?}")).collect();
    for name in ["namespaces", "seccomp", "runtime"] {
        assert!(failed.iter().any(|check| check.name == name), "{name}: {failed:?}");
    }
}
