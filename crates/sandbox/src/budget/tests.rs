use super::*;

const LIMIT: Budget = Budget { memory_mib: 1024, disk_mib: 4096, pids: 100 };

#[test]
fn what_exceeds_any_part_of_the_budget_does_not_fit() {
    let used = Budget { memory_mib: 512, disk_mib: 2048, pids: 50 };
    assert!(used.fits(used, LIMIT));
    for more in [
        Budget { memory_mib: 513, ..used },
        Budget { disk_mib: 2049, ..used },
        Budget { pids: 51, ..used },
        Budget { memory_mib: u64::MAX, ..used },
    ] {
        assert!(!used.fits(more, LIMIT), "{more:?}");
    }
}

#[test]
fn the_budget_of_this_host_leaves_something_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget::of_host(dir.path()).unwrap();
    let total = fs::read_to_string("/proc/meminfo").unwrap();
    let total = total.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024;
    assert!(budget.memory_mib > total / 2 && budget.memory_mib < total, "{budget:?} of {total}");
    assert!(budget.pids > 0 && budget.pids < number("/proc/sys/kernel/pid_max").unwrap());
    let found = statvfs(dir.path()).unwrap();
    assert!(budget.disk_mib < found.f_blocks * found.f_frsize / MIB);
}
