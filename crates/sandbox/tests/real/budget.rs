//! What all sandboxes of a host may use together.

use std::fs;

use sandbox::{Budget, RunError, TaskSpec};

use crate::host::{cgroups_of, host_with, spec};

const BUDGET: Budget = Budget { memory_mib: 700, disk_mib: 10_000, pids: 1000 };

#[test]
fn a_task_beyond_the_budget_is_refused_until_another_one_is_gone() {
    let Some(host) = host_with(|config| config.budget = BUDGET) else { return };
    let large = |token| TaskSpec { memory_mib: 300, ..spec(token) };
    let one = host.start(large("budget-a"));
    let two = host.start(large("budget-b"));
    assert!(matches!(host.driver().run(large("budget-c")), Err(RunError::NoCapacity)));
    assert_eq!(
        host.driver().run(large("budget-b")).unwrap(),
        two,
        "a repeated request is answered"
    );
    host.stop(&one);
    let three = host.start(large("budget-c"));
    host.stop(&two);
    host.stop(&three);
}

#[test]
fn each_part_of_the_budget_counts() {
    let Some(host) = host_with(|config| config.budget = BUDGET) else { return };
    let mut large = vec![
        TaskSpec { memory_mib: 701, ..spec("budget-memory") },
        TaskSpec { pids: 1001, ..spec("budget-pids") },
    ];
    if host.driver().has_disks() {
        large.push(TaskSpec { disk_mib: 10_001, ..spec("budget-disk") });
    }
    for spec in large {
        assert!(matches!(host.driver().run(spec), Err(RunError::NoCapacity)));
    }
}

#[test]
fn the_parent_group_of_all_sandboxes_has_the_same_limits() {
    let Some(host) = host_with(|config| config.budget = BUDGET) else { return };
    let id = host.start(spec("budget-group"));
    let groups = cgroups_of(&id);
    let value = |names: [&str; 2]| {
        let files =
            groups.iter().flat_map(|dir| names.map(|name| dir.parent().unwrap().join(name)));
        files.flat_map(fs::read_to_string).next().unwrap().trim().to_owned()
    };
    assert_eq!(value(["memory.limit_in_bytes", "memory.max"]), (700 << 20).to_string());
    assert_eq!(value(["pids.max", "pids.max"]), "1000");
    host.stop(&id);
}
