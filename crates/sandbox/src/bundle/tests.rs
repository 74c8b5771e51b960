use serde_json::{Value, json};

use super::*;

fn config() -> Value {
    config_with(None)
}

fn config_with(users: Option<&Path>) -> Value {
    let pair = |from: &str, to: &str| [(PathBuf::from(from), PathBuf::from(to))];
    let bundle = Bundle {
        root: Path::new("/data/host"),
        programs: &pair("/data/programs/0", "/usr"),
        env: &["LANG=de_DE.UTF-8".to_owned()],
        workdir: Path::new("/app"),
        users,
        allow_root: users.is_some(),
        run_dir: Path::new("/data/run"),
        resolv_conf: Some(Path::new("/data/resolv.conf")),
        jobs_mib: 64,
        shm_mib: 256,
        cgroups_path: Some(Path::new("/ephemeral/task")),
        cgroup_namespace: true,
        cgroup_dirs: &[PathBuf::from("/data/cgroup/0")],
        cgroup_views: &pair("/data/cgroup/0", "/sys/fs/cgroup/memory"),
        time_left: Some(Duration::from_secs(60)),
        owned: true,
    };
    serde_json::to_value(bundle.config().unwrap()).unwrap()
}

#[test]
fn the_configuration_has_nothing_but_what_is_meant() {
    let config = config();
    let keys = |value: &Value| {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort_unstable();
        keys
    };
    let top = ["hostname", "linux", "mounts", "ociVersion", "process", "root"];
    assert_eq!(keys(&config), top);
    let process = ["args", "capabilities", "cwd", "env", "noNewPrivileges", "terminal", "user"];
    assert_eq!(keys(&config["process"]), process);
    let linux = ["cgroupsPath", "maskedPaths", "namespaces", "readonlyPaths", "seccomp"];
    assert_eq!(keys(&config["linux"]), linux);
}

#[test]
fn the_runner_is_pid_1_as_root_with_four_capabilities() {
    let config = config();
    assert_eq!(config["process"]["user"], json!({ "uid": 0, "gid": 0 }));
    let args = [
        "/opt/ephemeral/runner",
        "--socket",
        "/run/ephemeral/runner.sock",
        "--jobs",
        "/run/ephemeral/jobs",
        "--image-settings",
        "--cgroup",
        "/run/ephemeral/cgroup/0",
        "--lifetime-ms",
        "60000",
        "--owner",
        "/run/ephemeral/owner",
    ];
    assert_eq!(config["process"]["args"], json!(args));
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(config["process"]["env"], json!([path, "LANG=de_DE.UTF-8"]));
    assert_eq!(config["process"]["cwd"], "/app");
    for set in ["bounding", "effective", "permitted"] {
        let set = &config["process"]["capabilities"][set];
        let mut names: Vec<_> = set.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["CAP_KILL", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"]);
    }
    for set in ["inheritable", "ambient"] {
        assert_eq!(config["process"]["capabilities"][set], json!([]));
    }
    assert_eq!(config["process"]["noNewPrivileges"], true);
}

#[test]
fn above_a_user_namespace_for_commands_the_runner_has_no_capability() {
    let config = config_with(Some(Path::new("/data/users")));
    let args = config["process"]["args"].as_array().unwrap();
    let users = ["--users", "/run/ephemeral/users", "--allow-root"];
    assert!(args.windows(3).any(|window| window == users), "{args:?}");
    for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
        assert_eq!(config["process"]["capabilities"][set], json!([]), "{set}");
    }
    let namespace = json!({ "destination": "/run/ephemeral/users", "type": "bind",
                            "source": "/data/users",
                            "options": ["bind", "nosuid", "nodev", "noexec"] });
    assert!(config["mounts"].as_array().unwrap().contains(&namespace));
}

#[test]
fn mounts_and_namespaces_have_the_names_of_the_oci_specification() {
    let config = config();
    let namespaces: Vec<_> = config["linux"]["namespaces"].as_array().unwrap().to_vec();
    let expected = ["pid", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({ "type": kind }));
    assert_eq!(namespaces, expected);
    let mounts = config["mounts"].as_array().unwrap();
    let usr = json!({ "destination": "/usr", "type": "bind", "source": "/data/programs/0",
                      "options": ["bind", "nosuid", "nodev", "ro"] });
    assert!(mounts.contains(&usr), "{mounts:?}");
    let cgroup = json!({ "destination": "/sys/fs/cgroup/memory", "type": "bind",
                         "source": "/data/cgroup/0",
                         "options": ["bind", "nosuid", "nodev", "ro", "noexec"] });
    assert!(mounts.contains(&cgroup), "{mounts:?}");
    let proc = json!({ "destination": "/proc", "type": "proc", "source": "proc",
                       "options": ["nosuid", "noexec", "nodev"] });
    assert_eq!(mounts.first(), Some(&proc));
    let resolv_conf = &json!({ "destination": "/etc/resolv.conf", "type": "bind",
                               "source": "/data/resolv.conf",
                               "options": ["bind", "nosuid", "nodev", "ro"] });
    assert_eq!(mounts.last(), Some(resolv_conf));
}

#[test]
fn the_seccomp_profile_has_the_form_of_the_oci_specification() {
    let config = config();
    let seccomp = &config["linux"]["seccomp"];
    assert_eq!(seccomp["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(seccomp["defaultErrnoRet"], 1);
    let rules = seccomp["syscalls"].as_array().unwrap();
    let clone3 = json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 });
    assert!(rules.contains(&clone3), "{rules:?}");
    let clone = json!({ "names": ["clone"], "action": "SCMP_ACT_ALLOW",
        "args": [{ "index": 0, "value": 0x7E02_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] });
    assert!(rules.contains(&clone), "{rules:?}");
    for family in [1, 2, 10] {
        let socket = json!({ "names": ["socket", "socketpair"], "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 0, "value": family, "op": "SCMP_CMP_EQ" }] });
        assert!(rules.contains(&socket), "{rules:?}");
    }
    let personality = rules.iter().filter(|rule| rule["names"] == json!(["personality"]));
    assert_eq!(personality.count(), 5);
}
