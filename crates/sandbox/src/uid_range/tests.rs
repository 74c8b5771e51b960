use super::*;

fn range(blocks: u32) -> UidRange {
    UidRange { first: 10 * BLOCK, last: (10 + blocks) * BLOCK - 1 }
}

fn id(token: &str) -> TaskId {
    TaskId::of_token(token)
}

#[test]
fn a_range_is_written_as_its_first_and_last_uid() {
    let default = UidRange::default();
    assert_eq!(default.to_string(), "2013265920-2147352575");
    assert_eq!(default.to_string().parse(), Ok(default));
    assert_eq!(default.blocks(), 2046);
    assert_eq!("65536-131071".parse::<UidRange>().unwrap().blocks(), 1);
    for wrong in [
        "",
        "65536",
        "0-65535",
        "65536-65536",
        "131072-131071",
        "65537-131072",
        "65536-131072",
        "-65536-131071",
        "4294901760-4294967295",
        "65536-4294967296",
    ] {
        assert_eq!(wrong.parse::<UidRange>(), Err(UidRangeError), "{wrong}");
    }
}

#[test]
fn a_block_has_an_id_for_the_runner_and_one_for_each_id_of_an_image() {
    let block = range(1).block(0);
    assert_eq!(block.runner(), 655_360);
    assert_eq!(block.host_id(0), 655_361);
    assert_eq!(block.host_id(65_534), 655_360 + 65_535);
    assert_eq!(block.host_id(65_535), block.host_id(65_534));
    assert_eq!(block.host_id(u32::MAX), block.host_id(65_534));
}

#[test]
fn accounts_and_other_subordinate_ids_in_the_range_are_conflicts() {
    let range = range(2);
    let passwd = "root:x:0:0::/root:/bin/sh\nalice:x:655360:1::/:/bin/sh\n";
    assert_eq!(range.account(passwd), Some("alice".to_owned()));
    assert_eq!(range.account("other:x:655359:0::/:\nbroken\nnext:x:786432:\n"), None);
    let subordinate = |line: &str| range.subordinate(line);
    assert_eq!(subordinate("lxc:600000:65536"), Some("lxc".to_owned()));
    assert_eq!(subordinate("lxc:589824:65536\nother:786432:65536"), None);
    assert_eq!(subordinate("ephemeral:655360:131072"), None);
    assert_eq!(subordinate("all:1:4294967295"), Some("all".to_owned()));
    assert_eq!(subordinate("none:655360:0"), None);
}

#[test]
fn no_two_tasks_of_any_driver_have_the_same_block() {
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join("uids");
    let records = ["one", "two"].map(|name| dir.path().join(name));
    for dir in &records {
        fs::create_dir(dir).unwrap();
    }
    let [one, two] = records
        .each_ref()
        .map(|records| Blocks::open_in(shared.clone(), range(3), records.clone()).unwrap());
    let mut blocks = vec![
        one.claim(&id("a")).unwrap(),
        two.claim(&id("a")).unwrap(),
        one.claim(&id("b")).unwrap(),
    ];
    let refused = two.claim(&id("b")).unwrap_err();
    assert!(refused.to_string().contains("all 3 blocks"), "{refused}");

    two.release(&id("a"), blocks[0]);
    assert!(two.claim(&id("b")).is_err(), "only the owner can release a block");
    one.release(&id("a"), blocks[0]);
    assert_eq!(two.claim(&id("b")).unwrap(), blocks[0]);
    blocks.sort_unstable();
    blocks.dedup();
    assert_eq!(blocks.len(), 3);
}

#[test]
fn blocks_whose_tasks_are_gone_are_reclaimed() {
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join("uids");
    let records = dir.path().join("records");
    fs::create_dir(&records).unwrap();
    let open = |records: &Path| Blocks::open_in(shared.clone(), range(2), records.to_owned());
    let own = open(&records).unwrap();
    let (kept, left) = (own.claim(&id("kept")).unwrap(), own.claim(&id("left")).unwrap());
    own.release_unused(&[kept]).unwrap();
    assert_eq!(own.claim(&id("next")).unwrap(), left);

    // Another driver frees the blocks only of tasks whose record was deleted.
    fs::write(records.join(format!("{}.json", id("kept"))), "").unwrap();
    let other = open(&dir.path().join("other")).unwrap();
    assert_eq!(other.claim(&id("other")).unwrap(), left);
    assert!(other.claim(&id("more")).is_err());
}

#[test]
fn a_block_that_its_own_driver_has_freed_meanwhile_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = Blocks::open_in(dir.path().join("uids"), range(1), dir.path().into()).unwrap();
    let block = blocks.claim(&id("a")).unwrap();
    blocks.release(&id("a"), block);
    blocks.free(block).unwrap();
    assert_eq!(blocks.claim(&id("b")).unwrap(), block);
}
