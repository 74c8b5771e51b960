use super::*;

#[test]
fn a_token_always_gives_the_same_id() {
    assert_eq!(TaskId::of_token("sh_1-a1"), TaskId::of_token("sh_1-a1"));
    assert_ne!(TaskId::of_token("sh_1-a1"), TaskId::of_token("sh_1-a2"));
}

#[test]
fn only_valid_ids_are_parsed() {
    let id = TaskId::of_token("a token");
    assert_eq!(id.as_str().parse::<TaskId>().unwrap(), id);
    for bad in ["", "task-", "task-../../etc/passwd0000", "task-ABCDEFABCDEFABCDEFAB"] {
        assert!(bad.parse::<TaskId>().is_err(), "{bad}");
    }
}
