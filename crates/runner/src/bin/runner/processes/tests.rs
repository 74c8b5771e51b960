use super::*;

#[test]
fn the_parent_is_read_whatever_the_name_of_the_program() {
    assert_eq!(parent("7 (a) b (c) S 3 7 7 0"), Some(3));
    assert_eq!(parent("7 (sh) Z 3 7 7 0"), None);
    assert_eq!(parent("7 sh"), None);
}

#[test]
fn descendants_include_grandchildren() {
    let mut child = std::process::Command::new("sh")
        .args(["-c", "sleep 1000 & echo ready; wait"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let pid = Pid::try_from(child.id()).unwrap();
    let me = Pid::try_from(std::process::id()).unwrap();
    let below = descendants(pid);
    let all = descendants(me);
    assert_eq!(below.len(), 1);
    assert!(all.contains(&pid) && all.contains(&below[0]), "{all:?}");
    let sleep = std::iter::repeat_with(|| describe(below[0]).unwrap().command);
    assert!(sleep.take(1_000_000).any(|command| command == "sleep 1000"));
    crate::sys::signal(below[0], libc::SIGKILL);
    child.wait().unwrap();
}

#[test]
fn a_stat_is_read_whatever_the_name_of_the_program() {
    let line = "7 (a) R (b) S 3 7 7 0 -1 4194560 1 0 0 0 12 5 0 0 20 0 1 0 4200 8192 33 18446744";
    let stat = stat::Stat::parse(line).unwrap();
    assert_eq!((stat.name.as_str(), stat.parent, stat.resident_pages), ("a) R (b", 3, 33));
    assert!(stat::Stat::parse("7 (sh) Z 3 7 7 0").is_none());
    assert!(stat::Stat::parse("7 (sh) S 3").is_none());
}
