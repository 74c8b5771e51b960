//! Sandboxes that are made before there is a task for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{Config, Driver, Kind, Prepare, TaskId, TaskSpec};

use crate::host::{Host, cgroups_of, config, host_with, init_of, processes_of, spec};

/// Far above what preparing a sandbox takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// So many sandboxes of the kind of [`spec`].
fn prepare(count: usize) -> Option<Prepare> {
    let TaskSpec { memory_mib, pids, disk_mib, network, .. } = spec("");
    Some(Prepare { kind: Kind { memory_mib, pids, disk_mib, network }, count })
}

/// A driver that has prepared so many sandboxes.
pub(crate) fn host_of(count: usize) -> Option<Host> {
    let host = host_with(|config| config.prepare = prepare(count))?;
    wait_until(|| host.driver().prepared() == count);
    Some(host)
}

fn wait_until(is_true: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_true() {
        assert!(Instant::now() < deadline, "it has not come true");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The name of the prepared sandbox that the task has.
fn prepared_of(host: &Host, id: &TaskId) -> Option<TaskId> {
    let record = fs::read(host.dir.path().join(format!("records/{id}.json"))).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    record["prepared"].as_str().map(|name| name.parse().unwrap())
}

/// Starts a task with a prepared sandbox. Returns both names. Other tests change the host meanwhile, so that
/// what was prepared before is not used.
pub(crate) fn start_prepared(host: &Host, spec: &TaskSpec) -> (TaskId, TaskId) {
    for number in 0..20 {
        wait_until(|| host.driver().prepared() > 0);
        let token = format!("{}-{number}", spec.token);
        let id = host.start(TaskSpec { token, ..spec.clone() });
        match prepared_of(host, &id) {
            Some(name) => return (id, name),
            None => drop(host.stop(&id)),
        }
    }
    panic!("no task got a prepared sandbox");
}

/// The names of the sandboxes below a driver's directory.
fn names_in(dir: &Path) -> Vec<TaskId> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    entries.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

fn names(host: &Host) -> Vec<TaskId> {
    names_in(host.dir.path())
}

fn assert_gone(name: &TaskId) {
    assert_eq!(cgroups_of(name), Vec::<PathBuf>::new());
    assert_eq!(processes_of(name), Vec::<String>::new());
}

fn uid_of(host: &Host, id: &TaskId) -> String {
    let pid = init_of(host, id).as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find(|line| line.starts_with("Uid:")).unwrap().to_owned()
}

#[test]
fn a_prepared_sandbox_serves_one_task_and_is_replaced() {
    let Some(host) = host_of(1) else { return };
    let (first, first_name) = start_prepared(&host, &spec("prepared-first"));
    assert_ne!(first_name, first);
    assert_eq!(
        host.sh(&first, "id -un; echo kept > /tmp/file; pwd").stdout,
        "shelluser\n/home/shelluser\n"
    );
    let (second, second_name) = start_prepared(&host, &spec("prepared-second"));
    assert_ne!(first_name, second_name);
    assert_eq!(
        host.sh(&second, "ls -A /tmp /home/shelluser").stdout,
        "/home/shelluser:\n\n/tmp:\n"
    );
    if rustix::process::geteuid().is_root() {
        assert_ne!(uid_of(&host, &first), uid_of(&host, &second));
    }
    for (id, name) in [(&first, &first_name), (&second, &second_name)] {
        host.stop(id);
        assert_gone(name);
        assert!(!host.dir.path().join(name.as_str()).exists());
    }
}

#[test]
fn no_process_of_a_prepared_sandbox_has_executed_a_program() {
    let Some(host) = host_of(1) else { return };
    let [name] = &names(&host)[..] else { panic!("{:?}", names(&host)) };
    let processes = processes_of(name);
    let [init] = &processes[..] else { panic!("{processes:?}") };
    assert!(init.contains("runtime\0launch"), "{init}");
    assert!(host.driver().list(None).is_empty());
}

#[test]
fn a_task_of_another_kind_gets_a_sandbox_of_its_own() {
    let Some(host) = host_of(1) else { return };
    for (number, other) in [
        TaskSpec { memory_mib: 128, ..spec("prepared-memory") },
        TaskSpec { disk_mib: 32, ..spec("prepared-disk") },
        TaskSpec { pids: 64, ..spec("prepared-pids") },
    ]
    .into_iter()
    .enumerate()
    {
        let id = host.start(other);
        assert_eq!(prepared_of(&host, &id), None, "{number}");
        host.stop(&id);
    }
    assert_eq!(host.driver().prepared(), 1);
}

#[test]
fn the_runner_of_a_prepared_sandbox_gets_the_lifetime_and_no_pipe() {
    let Some(host) = host_of(1) else { return };
    let lifetime = Some(Duration::from_secs(1000));
    let (id, _) = start_prepared(&host, &TaskSpec { lifetime, ..spec("prepared-lifetime") });
    let init = init_of(&host, &id).as_raw_nonzero();
    let arguments = fs::read_to_string(format!("/proc/{init}/cmdline")).unwrap();
    let millis = arguments.split('\0').skip_while(|argument| *argument != "--lifetime-ms").nth(1);
    let millis: u64 = millis.unwrap().parse().unwrap();
    assert!((900_000..=1_000_000).contains(&millis), "{millis}");
    let stdin = fs::read_link(format!("/proc/{init}/fd/0")).unwrap();
    assert_eq!(stdin, PathBuf::from("/dev/null"));
    host.stop(&id);
}

#[test]
fn a_prepared_sandbox_of_an_older_host_is_not_used() {
    let Some(host) = host_of(1) else { return };
    let [old] = &names(&host)[..] else { panic!("{:?}", names(&host)) };
    let path = format!("/etc/ssl/certs/ephemeral-test-prepared-{}.pem", std::process::id());
    fs::write(&path, "a certificate\n").unwrap();
    let id = host.start(spec("prepared-older"));
    let seen = host.sh(&id, &format!("cat {path}")).stdout;
    fs::remove_file(&path).unwrap();
    assert_eq!(seen, "a certificate\n");
    assert_ne!(prepared_of(&host, &id).as_ref(), Some(old));
    wait_until(|| !host.dir.path().join(old.as_str()).exists());
    assert_gone(old);
    host.stop(&id);
}

#[test]
fn a_prepared_sandbox_whose_pid_1_has_ended_is_not_used() {
    let Some(host) = host_of(1) else { return };
    let [dead] = &names(&host)[..] else { panic!("{:?}", names(&host)) };
    let pid: i32 = crate::host::pids_of(dead)[0];
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_until(|| processes_of(dead).iter().all(|process| process.contains(") Z ")));
    let id = host.start(spec("prepared-dead"));
    assert_ne!(prepared_of(&host, &id).as_ref(), Some(dead));
    wait_until(|| !host.dir.path().join(dead.as_str()).exists());
    assert_gone(dead);
    host.stop(&id);
}

#[test]
fn closing_the_driver_removes_what_it_has_prepared_and_nothing_else() {
    let Some(mut host) = host_of(2) else { return };
    let (id, used) = start_prepared(&host, &spec("prepared-closed"));
    wait_until(|| host.driver().prepared() == 2);
    let unused: Vec<TaskId> = names(&host).into_iter().filter(|name| *name != used).collect();
    assert_eq!(unused.len(), 2);
    host.reopen(|_| unused.iter().for_each(assert_gone));
    assert_eq!(names(&host), [used]);
    let records = fs::read_dir(host.dir.path().join("records")).unwrap().count();
    assert_eq!(records, 1);
    assert_eq!(host.sh(&id, "echo found").stdout, "found\n");
    host.stop(&id);
}

#[test]
fn a_start_that_was_interrupted_with_a_prepared_sandbox_is_continued_with_another_one() {
    let Some(mut host) = host_of(1) else { return };
    let (id, used) = start_prepared(&host, &spec("prepared-cut"));
    host.reopen(|dir| {
        crate::host::edit_record(dir, &id, |record| {
            record["facts"]["last_status"] = "PROVISIONING".into();
            record["init"] = serde_json::Value::Null;
        });
    });
    host.wait(&id, sandbox::Status::Running);
    assert_eq!(prepared_of(&host, &id), None);
    assert_eq!(host.sh(&id, "echo again").stdout, "again\n");
    assert_gone(&used);
    assert!(!host.dir.path().join(used.as_str()).exists());
    host.stop(&id);
}

/// The driver of the next test, in a process that is killed.
#[test]
fn prepared_sandboxes_end_with_their_driver_and_the_next_one_removes_them() {
    const ROLE: &str = "EPHEMERAL_TEST_PREPARING_DRIVER_DIR";
    if let Some(dir) = std::env::var_os(ROLE) {
        let config = Config { prepare: prepare(2), ..config(dir.as_ref()) };
        let driver = Driver::open(config, |_| {}).unwrap();
        wait_until(|| driver.prepared() == 2);
        fs::write(std::path::Path::new(&dir).join("prepared"), "").unwrap();
        loop {
            std::thread::park();
        }
    }
    let Some(mut host) = host_with(|_| {}) else { return };
    host.reopen(|dir| {
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "prepared::prepared_sandboxes_end_with_their_driver_and_the_next_one_removes_them",
            ])
            .env(ROLE, dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until(|| dir.join("prepared").exists());
        owner.kill().unwrap();
        owner.wait().unwrap();
        let names: Vec<TaskId> = names_in(dir);
        assert_eq!(names.len(), 2);
        for name in names {
            wait_until(|| processes_of(&name).is_empty());
        }
    });
    assert_eq!(names_in(host.dir.path()), []);
    assert_eq!(fs::read_dir(host.dir.path().join("records")).unwrap().count(), 0);
}
