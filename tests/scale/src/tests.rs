use clap::Parser as _;

use super::*;

fn args(text: &str) -> Args {
    Args::parse_from(["scale"].into_iter().chain(text.split_whitespace()))
}

#[test]
fn sessions_within_the_quotas_all_become_ready_and_leave_nothing() {
    for transport in ["link", "exec"] {
        let report = model(&args(&format!("--sessions 20 --transport {transport}"))).unwrap();
        assert!(report.is_clean(), "{report:?}");
    }
}

#[test]
fn sessions_beyond_the_quota_of_vcpus_fail_with_a_reason_and_leave_nothing() {
    let report = model(&args("--sessions 12 --quota vcpu=2 --hold 600")).unwrap();
    let failed = report.failures();
    assert_eq!(failed.len(), 4, "{failed:?}");
    assert!(failed.iter().all(|failure| failure.contains("capacity_unavailable")), "{failed:?}");
    assert_eq!(report.tasks_left(), 0);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed: u32| {
        let report = model(&args(&format!("--sessions 10 --commands 1 --seed {seed}"))).unwrap();
        report.last_ready()
    };
    assert_eq!(run(7).to_bits(), run(7).to_bits());
    assert_ne!(run(7).to_bits(), run(8).to_bits());
}

#[test]
fn wrong_arguments_are_named() {
    let wrong = Args::try_parse_from(["scale", "--arrival", "often"]).unwrap_err().to_string();
    assert!(wrong.contains("often"), "{wrong}");
    for quota in ["vcpu", "vcpu=many", "lambda=1"] {
        let wrong = model(&args(&format!("--sessions 1 --quota {quota}"))).unwrap_err();
        assert!(!format!("{wrong:#}").is_empty());
    }
}
