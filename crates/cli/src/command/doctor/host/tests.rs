use super::{super::Verdict, *};

const V1: &str = "\
30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 24 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
32 24 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct";
const V2: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";

#[test]
fn each_version_of_control_groups_is_known() {
    let hybrid = format!("{V1}\n33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 none rw");
    for (mounts, v2, found) in [
        (V1, "", "version 1: memory, pids, cpu"),
        (hybrid.as_str(), "", "version 1, hybrid: memory, pids, cpu"),
        (V2, "cpuset cpu io memory pids\n", "version 2: memory, pids, cpu"),
    ] {
        assert_eq!(control_groups(mounts, v2), Check::good("control groups", found));
    }
}

#[test]
fn a_missing_controller_is_named() {
    let check = control_groups(V2, "cpu io memory");
    assert_eq!((check.verdict, check.found.as_str()), (Verdict::Bad, "version 2, without pids"));
    assert_eq!(control_groups("", "").found, "version 2, without memory, pids, cpu");
}

#[test]
fn who_is_not_root_is_told_what_that_takes() {
    assert_eq!(user(false).verdict, Verdict::Less);
    assert!(user(false).hint.is_some());
}
