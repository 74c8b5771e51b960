use crate::driver::{Program, Runtime};

use super::kernel::{built, useful_modules};
use super::{HostIds, is_limit};

#[test]
fn the_day_of_a_kernel_is_read_from_what_distributions_write() {
    let day = Some(20_759);
    for version in [
        "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-02)",
        "#1 SMP Mon Nov  2 12:34:56 UTC 2026",
        "#57~22.04.1-Ubuntu SMP PREEMPT_DYNAMIC Mon Nov 2 01:02:03 UTC 2026",
    ] {
        assert_eq!(built(version), day, "{version}");
    }
    for unknown in ["", "#1 SMP PREEMPT_DYNAMIC @0", "#1-NixOS SMP 1-2-3", "Nov 2"] {
        assert_eq!(built(unknown), None, "{unknown}");
    }
}

#[test]
fn leap_days_are_counted() {
    assert_eq!(built("(1970-01-01)"), Some(0));
    assert_eq!(built("(2000-02-29)"), Some(11_016));
    assert_eq!(built("(2000-03-01)"), Some(11_017));
}

#[test]
fn landlock_counts_only_with_the_runtime_that_uses_it() {
    let active = "lockdown,yama,apparmor,landlock\n";
    assert_eq!(useful_modules(active, true, &Runtime::BuiltIn), ["apparmor", "landlock"]);
    let program = |path: &str| Runtime::Program(Program { path: path.into(), args: Vec::new() });
    for runtime in [program("/usr/sbin/runc"), program("/usr/bin/crun"), Runtime::Bare] {
        assert_eq!(useful_modules(active, true, &runtime), ["apparmor"], "{runtime:?}");
    }
    assert_eq!(useful_modules("", true, &Runtime::BuiltIn), ["landlock"]);
    assert!(useful_modules("", false, &Runtime::BuiltIn).is_empty());
}

#[test]
fn ids_of_two_sandboxes_are_apart_if_no_range_overlaps() {
    let ids = |line| HostIds::parse(line).unwrap();
    let no_namespace = ids("         0          0 4294967295");
    assert!(no_namespace.contains(0) && no_namespace.contains(1000));
    let (one, two) = (ids("0 100000 65536"), ids("0 165536 65536"));
    assert!(!one.overlaps(&two) && !two.overlaps(&one) && !one.contains(165_536));
    assert!(one.overlaps(&no_namespace) && no_namespace.overlaps(&one));
    assert_eq!(HostIds::parse("0 1"), None);
}

#[test]
fn a_limit_is_a_number_that_the_kernel_does_not_mean_as_none() {
    assert!(is_limit("1073741824\n"));
    for none in ["max\n", "9223372036854771712\n", ""] {
        assert!(!is_limit(none), "{none}");
    }
}
