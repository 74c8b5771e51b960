use super::*;

#[test]
fn the_table_is_sorted_and_has_no_duplicates() {
    let names: Vec<&str> = allowed().collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(names.len() > 250);
}

#[test]
fn every_name_is_a_system_call_of_some_architecture() {
    let other_architectures = ["riscv_flush_icache"];
    for name in allowed().filter(|name| !other_architectures.contains(name)) {
        if cfg!(target_arch = "x86_64") {
            assert!(name.parse::<Sysno>().is_ok(), "{name}");
        }
    }
}

#[test]
fn the_filters_compile() {
    for filter in [clone3_filter().unwrap(), allow_filter().unwrap()] {
        let program: BpfProgram = filter.try_into().unwrap();
        assert!(program.len() < 4096, "the kernel accepts at most 4096 instructions");
    }
}

#[test]
fn system_calls_used_by_container_escapes_are_not_allowed() {
    let dangerous = [
        "bpf",
        "chroot",
        "clone3",
        "init_module",
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
