use super::*;

#[test]
fn a_range_is_found_by_name_or_number_if_it_is_large_enough() {
    let table = "other:100000:65536\nme:200000:1000\n1234:300000:65536\n";
    assert_eq!(Range::parse(table, "other", 1), Some((100_000, 65_535)));
    assert_eq!(Range::parse(table, "me", 1), None);
    assert_eq!(Range::parse(table, "me", 1234), Some((300_000, 65_535)));
    assert_eq!(Range::parse("broken\nme:x:y\n", "me", 1), None);
}

#[test]
fn a_user_without_a_passwd_entry_is_named_by_its_number() {
    let passwd = "root:x:0:0::/root:/bin/sh\nme:x:1234:1234::/home/me:/bin/sh\n";
    assert_eq!(name_of(1234, passwd), "me");
    assert_eq!(name_of(77, passwd), "77");
}

#[test]
fn root_maps_to_the_servers_user_and_other_ids_to_its_range() {
    let range = |own, first| Range { own, first, count: COUNT };
    let map = IdMap { users: range(1234, 100_000), groups: range(1235, 200_000) };
    let expected = "newuidmap \"$PPID\" 0 1234 1 1 100000 65535 && \
                    newgidmap \"$PPID\" 0 1235 1 1 200000 65535";
    assert_eq!(map.script(), expected);
}
