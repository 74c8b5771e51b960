use super::*;

#[test]
fn the_files_of_both_cgroup_versions_are_parsed() {
    let v1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
    let v2 = "low 0\nhigh 0\nmax 12\noom 4\noom_kill 2\noom_group_kill 0\n";
    assert_eq!((count(v1), count(v2)), (Some(3), Some(2)));
}

#[test]
fn a_file_without_the_counter_gives_none() {
    assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None);
}
