use super::*;
use crate::task::Network;

fn spec() -> TaskSpec {
    TaskSpec {
        started_by: String::new(),
        token: String::new(),
        cpu_units: 256,
        memory_mib: 64,
        pids: 10,
        disk_mib: 16,
        lifetime: None,
        network: Network::None,
    }
}

/// A directory in place of the mount point of cgroup v2.
fn version_2(dir: &Path) -> Cgroups {
    fs::write(dir.join("cgroup.subtree_control"), "").unwrap();
    let parent = dir.join("ephemeral-test");
    fs::create_dir(&parent).unwrap();
    for file in ["memory.max", "memory.swap.max", "pids.max", "io.weight", "cpu.weight"] {
        fs::write(parent.join(file), "").unwrap();
    }
    let budget = Budget { memory_mib: 1024, disk_mib: 0, pids: 1000 };
    let layout = CgroupLayout::V2 { base: dir.to_owned() };
    Cgroups::open(layout, "ephemeral-test".into(), budget).unwrap()
}

fn value(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

#[test]
fn v2_gets_limits_and_controllers() {
    let top = tempfile::tempdir().unwrap();
    let cgroups = version_2(top.path());
    assert_eq!(value(top.path(), "cgroup.subtree_control"), "+memory +pids +cpu");
    let id = TaskId::of_token("a");
    let dir = top.path().join("ephemeral-test").join(id.as_str());
    fs::create_dir(&dir).unwrap();
    for file in ["memory.max", "memory.swap.max", "pids.max", "cpu.max"] {
        fs::write(dir.join(file), "").unwrap();
    }
    let cgroup = cgroups.of(&id);
    cgroup.create(&spec()).unwrap();
    cgroup.limit_cpu(&spec()).unwrap();
    assert_eq!(value(&dir, "memory.max"), "67108864");
    assert_eq!(value(&dir, "memory.swap.max"), "0");
    assert_eq!(value(&dir, "pids.max"), "10");
    assert_eq!(value(&dir, "cpu.max"), "25000 100000");
    assert_eq!(cgroup.procs_files(), [dir.join("cgroup.procs")]);
    assert_eq!(cgroups.present(), [id]);
}

#[test]
fn all_sandboxes_together_get_the_budget_and_a_low_weight() {
    let top = tempfile::tempdir().unwrap();
    version_2(top.path());
    let dir = top.path().join("ephemeral-test");
    assert_eq!(value(&dir, "memory.max"), "1073741824");
    assert_eq!(value(&dir, "memory.swap.max"), "0");
    assert_eq!(value(&dir, "pids.max"), "1000");
    assert_eq!(value(&dir, "cpu.weight"), "25");
    assert_eq!(value(&dir, "io.weight"), "default 25");
}

#[test]
fn on_v2_pid_1_moves_to_a_leaf_so_that_jobs_can_have_cgroups() {
    let top = tempfile::tempdir().unwrap();
    let cgroups = version_2(top.path());
    let id = TaskId::of_token("a");
    let dir = top.path().join("ephemeral-test").join(id.as_str());
    assert_eq!(cgroups.of(&id).leaf(), Some(dir.join("runner")));
    assert!(cgroups.of(&id).oci_path().ends_with(format!("{id}/runner")));
}

#[test]
fn oom_kills_are_counted() {
    let top = tempfile::tempdir().unwrap();
    let cgroups = version_2(top.path());
    let id = TaskId::of_token("a");
    let log = top.path().join("missing");
    assert_eq!(cgroups.of(&id).oom_kills(&log), 0);
    let dir = top.path().join("ephemeral-test").join(id.as_str());
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("memory.events"), "low 0\noom 5\noom_kill 3\noom_group_kill 0\n").unwrap();
    assert_eq!(cgroups.of(&id).oom_kills(&log), 3);
}

#[test]
fn on_v1_each_oom_kill_counts_once_before_and_after_its_group_is_removed() {
    let top = tempfile::tempdir().unwrap();
    let memory = top.path().to_owned();
    let layout = CgroupLayout::V1 {
        memory: memory.clone(),
        pids: memory.clone(),
        cpu: memory.clone(),
        cpuacct: None,
        cpuset: None,
        others: Vec::new(),
    };
    let id = TaskId::of_token("a");
    let group = Cgroup { layout: &layout, path: id.as_str().into() };
    let job = |name: &str, kills: u32| {
        let dir = memory.join(id.as_str()).join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("memory.oom_control"), format!("under_oom 0\noom_kill {kills}\n"))
            .unwrap();
    };
    let log = top.path().join("log");
    job("job-0", 1);
    job("job-1", 2);
    assert_eq!(group.oom_kills(&log), 3);
    fs::write(&log, "job-0 1\n").unwrap();
    assert_eq!(group.oom_kills(&log), 3);
    fs::remove_dir_all(memory.join(id.as_str()).join("job-0")).unwrap();
    assert_eq!(group.oom_kills(&log), 3);
    fs::remove_dir_all(memory.join(id.as_str())).unwrap();
    assert_eq!(group.oom_kills(&log), 1);
}

#[test]
fn groups_that_are_removed_meanwhile_do_not_hide_the_others() {
    let top = tempfile::tempdir().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    fs::create_dir(top.path().join("kept")).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let dir = top.path().join("job-0");
                fs::create_dir(&dir).unwrap();
                fs::remove_dir(&dir).unwrap();
            }
        });
        let all_have_it = (0..5000).all(|_| {
            let found = tree(top.path());
            found.is_ok_and(|found| found.contains(&top.path().join("kept")))
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(all_have_it);
    });
}

#[test]
fn destroying_a_missing_group_succeeds() {
    let top = tempfile::tempdir().unwrap();
    let cgroups = version_2(top.path());
    cgroups.of(&TaskId::of_token("a")).destroy(Duration::ZERO).unwrap();
    cgroups.close();
    assert!(!top.path().join("ephemeral-test").exists() || cgroups.present().is_empty());
}
