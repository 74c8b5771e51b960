use super::*;

#[test]
fn a_token_names_one_task() {
    assert_eq!(TaskId::of_token("sh_1-a1"), TaskId::of_token("sh_1-a1"));
    assert_ne!(TaskId::of_token("sh_1-a1"), TaskId::of_token("sh_1-a2"));
}

#[test]
fn an_id_is_read_back_and_nothing_else_is() {
    let id = TaskId::of_token("a token");
    assert_eq!(id.as_str().parse::<TaskId>().unwrap(), id);
    for bad in ["", "task-", "task-../../etc/passwd0000", "task-ABCDEFABCDEFABCDEFAB"] {
        assert!(bad.parse::<TaskId>().is_err(), "{bad}");
    }
}
