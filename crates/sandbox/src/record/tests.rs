use super::*;
use crate::task::Network;

fn record() -> Record {
    let spec = TaskSpec {
        started_by: "sh_1".into(),
        token: "sh_1-a1".into(),
        cpu_units: 256,
        memory_mib: 512,
        pids: 512,
        disk_mib: 64,
        lifetime: None,
        network: Network::None,
    };
    Record::new(TaskId::of_token(&spec.token), spec)
}

#[test]
fn a_saved_record_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(dir.path().join("records")).unwrap();
    records.save(&record()).unwrap();
    let read = records.load().unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].spec, record().spec);
    records.remove(&record().facts.id).unwrap();
    records.remove(&record().facts.id).unwrap();
    assert!(records.load().unwrap().is_empty());
}

#[test]
fn a_truncated_record_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(dir.path().to_owned()).unwrap();
    fs::write(dir.path().join("task-0.json"), b"{\"facts\":").unwrap();
    assert!(records.load().unwrap().is_empty());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_first_reason_to_end_is_kept() {
    let mut record = record();
    record.end(StopCode::UserInitiated, "asked");
    record.end(StopCode::EssentialContainerExited, "exited");
    assert_eq!(record.facts.stop_code, Some(StopCode::UserInitiated));
    assert_eq!(record.facts.stopped_reason, "asked");
}

#[test]
fn a_later_process_with_the_same_pid_is_a_different_one() {
    let me = Process::current(std::process::id().try_into().unwrap()).unwrap();
    assert!(me.is_current());
    assert!(!Process { start_ticks: me.start_ticks + 1, ..me.clone() }.is_current());
    assert!(!Process { boot: "another".into(), ..me }.is_current());
}
