use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    toor:x:0:0::/root:/bin/sh\n\
    broken line\n\
    shelluser:x:1000:1001:Shell:/home/shelluser:/bin/bash\n\
    daemon:x:1:1:::\n";
const GROUP: &str = "root:x:0:\nadm:x:4:syslog,shelluser\nvideo:x:44:shelluser\nx:x:9:shelluser2\n";

#[test]
fn a_user_has_its_ids_home_shell_and_groups() {
    let user = User::named("shelluser", PASSWD, GROUP, false).unwrap();
    assert_eq!((user.uid, user.gid, user.groups), (1000, 1001, vec![4, 44]));
    assert_eq!((user.home.as_str(), user.shell.as_str()), ("/home/shelluser", "/bin/bash"));
}

#[test]
fn a_user_is_found_by_number_too() {
    let user = User::named("1000", PASSWD, GROUP, false).unwrap();
    assert_eq!((user.name.as_str(), user.groups), ("shelluser", vec![4, 44]));
    assert_eq!(User::named("1001", PASSWD, GROUP, false), Err(UserError::Unknown));
}

#[test]
fn empty_fields_get_the_defaults_of_passwd() {
    let user = User::named("daemon", PASSWD, GROUP, false).unwrap();
    assert_eq!((user.home.as_str(), user.shell.as_str()), ("/", "/bin/sh"));
}

#[test]
fn root_is_rejected_under_any_name_unless_it_is_allowed() {
    for name in ["root", "toor", "0", "00"] {
        assert_eq!(User::named(name, PASSWD, GROUP, false), Err(UserError::Root));
        assert_eq!(User::named(name, PASSWD, GROUP, true).map(|user| user.uid), Ok(0));
    }
    assert_eq!(User::current("root", 1000, 1000, PASSWD), Err(UserError::Root));
    assert_eq!(User::current("shelluser", 0, 0, PASSWD), Err(UserError::Root));
}

#[test]
fn an_unknown_user_is_rejected_but_the_current_user_needs_no_entry() {
    assert_eq!(User::named("nobody", PASSWD, GROUP, false), Err(UserError::Unknown));
    let user = User::current("shelluser", 4242, 7, PASSWD).unwrap();
    assert_eq!((user.uid, user.gid, user.home.as_str()), (4242, 7, "/"));
}
