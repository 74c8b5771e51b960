use super::*;

const HYBRID: &str = "\
30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/pids rw,nosuid - cgroup cgroup rw,pids
34 30 0:30 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,name=systemd
35 30 0:31 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw
";
const V2: &str = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

#[test]
fn a_hybrid_host_has_a_hierarchy_for_each_limit_and_others() {
    let layout = CgroupLayout::parse(HYBRID, "0::/\n", true).unwrap();
    let names: Vec<_> = layout.limiting().map(|dir| dir.to_str().unwrap()).collect();
    let dirs = ["memory", "pids", "cpu,cpuacct"].map(|d| format!("/sys/fs/cgroup/{d}"));
    assert_eq!(names, dirs);
    let others: Vec<_> = layout.all().skip(3).collect();
    assert_eq!(others, ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"].map(Path::new));
}

#[test]
fn on_v2_root_uses_the_root_group_and_other_users_their_own() {
    let own = "0::/user.slice/user-1000.slice/user@1000.service/run.scope\n";
    let root = CgroupLayout::parse(V2, own, true).unwrap();
    assert_eq!(root, CgroupLayout::V2 { base: "/sys/fs/cgroup".into() });
    assert_eq!(root.oci_prefix(), Path::new("/"));
    let other = CgroupLayout::parse(V2, own, false).unwrap();
    let below = Path::new("/user.slice/user-1000.slice/user@1000.service/run.scope");
    assert_eq!(other.oci_prefix(), below);
}

#[test]
fn a_server_that_moved_into_its_child_group_finds_the_parent_again() {
    let moved = CgroupLayout::parse(V2, "0::/user/run.scope/ephemeral-server\n", false).unwrap();
    assert_eq!(moved, CgroupLayout::V2 { base: "/sys/fs/cgroup/user/run.scope".into() });
}

#[test]
fn rootless_mode_rejects_v1() {
    let result = CgroupLayout::parse(HYBRID, "", false);
    assert!(matches!(result, Err(CgroupError::Delegation)), "{result:?}");
}

#[test]
fn the_error_names_a_missing_controller() {
    let without: String = HYBRID.lines().filter(|line| !line.contains("pids")).collect();
    assert!(CgroupLayout::parse(&without, "", true).is_err());
    let without: Vec<&str> = HYBRID.lines().filter(|line| !line.contains("pids")).collect();
    let error = CgroupLayout::parse(&without.join("\n"), "", true).unwrap_err();
    assert!(error.to_string().starts_with("this host has no cgroup controller pids: "), "{error}");
}
