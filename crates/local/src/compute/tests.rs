use domain::task::{StopCode, TaskStatus};
use sandbox::{Desired, Status, TaskFacts, TaskId};

use super::facts;

fn ended(stop_code: sandbox::StopCode, oom_killed: bool, exit_code: Option<i32>) -> TaskFacts {
    TaskFacts {
        id: TaskId::of_token("t"),
        started_by: "sh_1".to_owned(),
        version: 4,
        last_status: Status::Stopped,
        desired: Desired::Stopped,
        stop_code: Some(stop_code),
        stopped_reason: "because".to_owned(),
        exit_code,
        oom_killed,
        created_at_ms: 1,
        started_at_ms: Some(2),
        stopped_at_ms: Some(3),
    }
}

#[test]
fn only_a_task_whose_first_process_was_killed_for_memory_is_out_of_memory() {
    use sandbox::StopCode as S;
    let table = [
        (S::TaskFailedToStart, false, None, StopCode::FailedToStart),
        (S::EssentialContainerExited, true, Some(137), StopCode::OutOfMemory),
        (S::EssentialContainerExited, true, None, StopCode::OutOfMemory),
        (S::EssentialContainerExited, true, Some(1), StopCode::Exited),
        (S::EssentialContainerExited, false, Some(137), StopCode::Exited),
        (S::UserInitiated, true, Some(137), StopCode::Requested),
    ];
    for (code, oom, exit, expected) in table {
        let facts = facts::of(ended(code, oom, exit));
        let cause = facts.stop.unwrap();
        assert_eq!(cause.code, expected, "{code:?} {oom} {exit:?}");
        assert_eq!((facts.status, facts.ending, facts.at.millis()), (TaskStatus::Stopped, true, 3));
        assert_eq!((cause.message.as_str(), cause.exit_code), ("because", exit));
    }
}
