use super::*;

#[test]
fn the_table_is_sorted_and_has_no_duplicates() {
    let names: Vec<&str> = allowed().collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(names.len() > 250);
}

#[test]
fn every_name_is_a_system_call_of_some_architecture() {
    let other_architectures = ["riscv_flush_icache", "riscv_hwprobe"];
    for name in allowed().filter(|name| !other_architectures.contains(name)) {
        if cfg!(target_arch = "x86_64") {
            assert!(name.parse::<Sysno>().is_ok(), "{name}");
        }
    }
}

#[test]
fn the_filters_compile() {
    for filter in [absent_filter().unwrap(), socket_filter().unwrap(), allow_filter().unwrap()] {
        let program: BpfProgram = filter.try_into().unwrap();
        assert!(program.len() < 4096, "the kernel accepts at most 4096 instructions");
    }
}

#[test]
fn the_oci_form_allows_sockets_by_family_only() {
    let profile = serde_json::to_value(oci().unwrap()).unwrap();
    let rules = profile["syscalls"].as_array().unwrap();
    let names_socket = |rule: &&serde_json::Value| {
        let names = rule["names"].as_array().unwrap();
        names.iter().any(|name| name == "socket" || name == "socketpair")
    };
    let families: Vec<_> = rules.iter().filter(names_socket).map(|rule| &rule["args"]).collect();
    assert_eq!(families.len(), SOCKET_FAMILIES.len());
    for (args, family) in families.into_iter().zip(SOCKET_FAMILIES) {
        assert_eq!(args[0]["value"], family);
        assert_eq!(args[0]["op"], "SCMP_CMP_EQ");
    }
}

#[test]
fn setns_enters_user_namespaces_only() {
    let profile = serde_json::to_value(oci().unwrap()).unwrap();
    let rules = profile["syscalls"].as_array().unwrap();
    let setns: Vec<_> = rules.iter().filter(|rule| rule["names"][0] == "setns").collect();
    assert_eq!(setns.len(), 1);
    let args = serde_json::json!([{ "index": 1, "value": 0x1000_0000, "op": "SCMP_CMP_EQ" }]);
    assert_eq!(setns[0]["args"], args);
}

#[test]
fn system_calls_used_by_container_escapes_are_not_allowed() {
    let dangerous = [
        "bpf",
        "chroot",
        "clone3",
        "init_module",
        "io_setup",
        "io_uring_setup",
        "kexec_load",
        "keyctl",
        "mount",
        "open_by_handle_at",
        "perf_event_open",
        "pivot_root",
        "reboot",
        "setns",
        "umount2",
        "unshare",
        "userfaultfd",
        "add_key",
        "request_key",
        "move_mount",
        "fsopen",
    ];
    for name in dangerous {
        assert!(!allowed().any(|allowed| allowed == name), "{name}");
    }
}

/// The names in the first column of the table in `docs/seccomp.md`.
fn documented() -> Vec<String> {
    let text = include_str!("../../../../docs/seccomp.md");
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let mut names: Vec<String> = cells.map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_document_lists_each_difference_from_the_profile_of_docker() {
    let docker: Vec<&str> = include_str!("docker.txt").split_ascii_whitespace().collect();
    let more: Vec<&str> = allowed().filter(|name| !docker.contains(name)).collect();
    assert_eq!(more, Vec::<&str>::new(), "not allowed by Docker");
    // Both allow these calls with the same arguments only.
    let same = ["clone", "personality"];
    let is_ours = |name: &str| same.contains(&name) || allowed().any(|allowed| allowed == name);
    // The filter kills nothing of a 32-bit program but lets the kernel refuse it, as its architecture
    // differs; those names are no system calls here.
    let here = |name: &&str| name.parse::<Sysno>().is_ok();
    let less: Vec<&str> = docker.into_iter().filter(here).filter(|name| !is_ours(name)).collect();
    if cfg!(target_arch = "x86_64") {
        assert_eq!(documented(), less);
    }
}
