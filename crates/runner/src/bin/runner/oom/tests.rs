use super::*;

#[test]
fn both_versions_of_the_control_group_are_read() {
    let v1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
    let v2 = "low 0\nhigh 0\nmax 12\noom 4\noom_kill 2\noom_group_kill 0\n";
    assert_eq!((count(v1), count(v2)), (Some(3), Some(2)));
}

#[test]
fn a_file_without_the_counter_says_nothing() {
    assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None);
}
