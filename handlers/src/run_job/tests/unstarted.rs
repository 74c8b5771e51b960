//! Commands that certainly did not start.

use domain::task::StopCode;

use super::*;

#[tokio::test]
async fn a_command_that_a_stopping_shell_refused_is_cancelled() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true");
    fakes.shell.script("true", Script::default().ends(EndCause::Cancelled, None));
    run(&env(&fakes)).await;
    assert_eq!(code(&fakes, "j"), (Status::Cancelled, Some("session_ended".to_owned())));
}

#[tokio::test]
async fn a_command_that_did_not_reach_a_gone_shell_is_cancelled() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true");
    fakes.compute.die(&task_id("s"), StopCode::Exited);
    run(&env(&fakes)).await;
    assert_eq!(code(&fakes, "j"), (Status::Cancelled, Some("session_ended".to_owned())));
    assert!(fakes.shell.runs().is_empty());
}

#[tokio::test]
async fn a_command_that_may_have_started_in_a_gone_shell_is_not_called_cancelled() {
    let fakes = Fakes::new().with_ready_session("s").with_running_job("s", "j", "true");
    fakes.compute.die(&task_id("s"), StopCode::Exited);
    fakes.clock.advance(domain::job::LEASE);
    run(&env(&fakes)).await;
    assert_eq!(status(&fakes, "j"), Status::Running);
}

#[tokio::test]
async fn a_command_that_its_shell_refuses_for_longer_than_its_time_limit_fails() {
    let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true");
    let env = env(&fakes);
    fakes.shell.silence(&task_id("s"));
    run(&env).await;
    assert_eq!(status(&fakes, "j"), Status::Running);
    fakes.clock.advance(testkit::command("true").timeout + Duration::from_mins(5));
    run(&env).await;
    assert_eq!(code(&fakes, "j"), (Status::Failed, Some("spawn_failed".to_owned())));
    assert!(fakes.shell.runs().is_empty());
}

#[tokio::test]
async fn an_ended_session_cancels_a_command_that_reached_no_runner() {
    for reached in [false, true] {
        let fakes = Fakes::new().with_ready_session("s").with_queued_job("s", "j", "long");
        let env = env(&fakes);
        if reached {
            fakes.shell.script("long", Script::default().lasts(Duration::from_hours(1)));
            let mut short = env.clone();
            short.policy =
                crate::Policy { worker_hold: Duration::from_secs(1), ..crate::tests::policy() }
                    .into();
            run(&short).await;
            fakes.clock.advance(Duration::from_secs(5));
        }
        fakes.shell.silence(&task_id("s"));
        run(&env).await;
        assert_eq!(status(&fakes, "j"), Status::Running);
        let stop =
            domain::session::Event::Stop { reason: domain::session::Reason::UserStop, note: None };
        let fakes = fakes.after("s", stop);
        let session = fakes.session("s");
        crate::close_session::end_jobs(&env, &session).await.unwrap();
        let expected = if reached { Status::Lost } else { Status::Cancelled };
        assert_eq!(code(&fakes, "j"), (expected, Some("session_ended".to_owned())));
    }
}
