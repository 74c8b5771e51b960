use super::*;

#[test]
fn an_ignored_signal_is_found_in_the_status_of_the_process() {
    let status = "Name:\tephemeral\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
    assert!(is_ignored(status, 1));
    assert!(is_ignored(status, 13));
    assert!(!is_ignored(status, 2));
    assert!(!is_ignored("Name:\tephemeral\n", 1));
    assert!(!is_ignored("SigIgn:\tnone\n", 1));
}
