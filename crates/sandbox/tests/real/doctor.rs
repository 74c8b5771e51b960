//! The results of `doctor` match what the host can do.

use sandbox::{CheckStatus, Image, Runtime, doctor, doctor_hostile};

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
        "landlock",
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

#[test]
fn the_check_for_hostile_users_names_what_is_missing_and_leaves_nothing() {
    let Some(host) = host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = sandbox::Config { root: dir.path().join("new"), ..config(dir.path()) };
    let checks = doctor_hostile(&config);
    let status = |name: &str| checks.iter().find(|check| check.name == name).unwrap().status;
    assert_eq!(config.image, Image::Host);
    assert_eq!(status("image"), CheckStatus::Fail, "{checks:?}");
    for check in &checks {
        assert_eq!(check.status == CheckStatus::Ok, check.remedy.is_empty(), "{check:?}");
    }
    // Both sandboxes were looked at: nothing is said to have failed to start.
    for name in ["users", "budgets"] {
        let check = checks.iter().find(|check| check.name == name).unwrap();
        assert!(!check.detail.contains("could not be started"), "{check:?}");
    }
    let left = std::fs::read_dir(&config.root).unwrap().flatten();
    let left: Vec<_> =
        left.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"task-")).collect();
    assert!(left.is_empty(), "{left:?}");
    drop(host);
}
