use domain::{
    command::{Command, Concurrency, Keep, Program, ShellName},
    job::Job,
    message::Message,
    ports::Store,
    session::Event,
};
use serde_json::json;
use testkit::{Fakes, session_id};

use super::*;

const EXECUTE: &str = "/v1/shell/execute";

fn run(session: &str, command: Value) -> Value {
    json!({"sessionId": session_id(session), "command": command})
}

fn job(api: &Api, body: &Value) -> Job {
    let id = body["jobId"].as_str().unwrap().parse().unwrap();
    api.fakes.store.job_now(id).unwrap()
}

/// The command of an accepted job.
async fn command(api: &Api, body: &Value) -> Command {
    let command = api.fakes.store.command(job(api, body).id()).await.unwrap();
    command.expect("the job is not over")
}

#[tokio::test]
async fn a_command_for_a_ready_session_is_accepted_and_notified() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let answer = api.post(EXECUTE, run("s", json!("echo hi"))).await;
    assert_eq!(answer.header("location"), answer.body["links"]["job"].as_str());
    let body = answer.expect(202);
    assert_eq!((&body["type"], &body["status"]), (&json!("execute"), &json!("queued")));
    assert_eq!(api.messages(), [Message::RunJob { session: session_id("s") }]);
    let command = command(&api, &body).await;
    assert_eq!(*command.program.expose(), Program::Shell("echo hi".into()));
    assert_eq!((command.timeout.as_secs(), command.max_output_bytes), (600, 1_048_576));
    assert_eq!(command.concurrency, Concurrency::Serial);
}

#[tokio::test]
async fn a_command_as_root_needs_a_deployment_that_allows_it() {
    let fakes = || Fakes::new().with_ready_session("s");
    let body = |user: &str| json!({"sessionId": session_id("s"), "command": "id", "user": user});
    let refusing = Api::new(fakes()).with_policy(|policy| {
        policy.refused_root = Some("it is Tuesday".to_owned());
    });
    for user in ["root", "0", "000"] {
        let answer = refusing.post(EXECUTE, body(user)).await;
        answer.problem(403, "root_denied");
        assert_eq!(answer.body["detail"], "commands can't run as root: it is Tuesday");
    }
    assert_eq!(refusing.messages(), []);
    refusing.post(EXECUTE, body("shelluser")).await.expect(202);

    let allowing = Api::new(fakes()).with_policy(|policy| policy.refused_root = None);
    let answer = allowing.post(EXECUTE, body("root")).await.expect(202);
    assert_eq!(job(&allowing, &answer).command().unwrap().user.as_deref(), Some("root"));
}

#[tokio::test]
async fn a_terminal_needs_a_deployment_that_has_them() {
    let api = Api::new(Fakes::new().with_ready_session("s")).with_policy(|policy| {
        policy.refused_terminals = Some("it is Tuesday".to_owned());
    });
    let body = json!({"sessionId": session_id("s"), "command": "id", "interactive": true});
    let answer = api.post(EXECUTE, body).await;
    answer.problem(403, "terminals_denied");
    assert_eq!(answer.body["detail"], "terminals can't be opened: it is Tuesday");
    let path = format!("/v1/sessions/{}/terminal", session_id("s"));
    api.post(&path, json!({})).await.problem(403, "terminals_denied");
    assert_eq!(api.messages(), []);
    api.post(EXECUTE, run("s", json!("id"))).await.expect(202);
}

#[tokio::test]
async fn a_command_is_stored_as_it_was_given() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let argv = json!(["sh", "-c", "echo '$HOME' \"\\\" ; é\n", ""]);
    let mut body = run("s", argv.clone());
    body.as_object_mut().unwrap().extend(
        json!({"cwd": "/tmp", "env": {"A_1": "x=y\n", "a.b-c": "d"}, "user": "1000", "stdin": "a\u{0}b",
               "timeoutSeconds": 1.0, "ifNotReady": "queue", "concurrency": "parallel",
               "maxOutputBytes": 0, "background": true, "interactive": false})
        .as_object()
        .unwrap()
        .clone(),
    );
    let body = api.post(EXECUTE, body).await.expect(202);
    let command = command(&api, &body).await;
    let argv: Vec<String> = serde_json::from_value(argv).unwrap();
    assert_eq!(*command.program.expose(), Program::Argv(argv));
    assert_eq!(command.cwd.as_ref().unwrap().expose(), "/tmp");
    assert_eq!(command.env.expose()["A_1"], "x=y\n");
    assert_eq!(command.env.expose()["a.b-c"], "d");
    assert!(command.background);
    assert_eq!(command.user.as_deref(), Some("1000"));
    assert_eq!(command.stdin.expose(), b"a\0b");
    assert_eq!(command.timeout.as_secs(), 1);
    assert_eq!(command.concurrency, Concurrency::Parallel);
    assert_eq!(command.max_output_bytes, 0);
}

#[tokio::test]
async fn null_counts_as_an_absent_part_of_a_size() {
    let api = Api::new(Fakes::new());
    for size in [json!({"cpu": null, "memoryMiB": 2048}), json!({"cpu": 256, "memoryMiB": null})] {
        api.post("/v1/shell/start", json!({"size": size})).await.expect(202);
    }
}

#[tokio::test]
async fn null_counts_as_an_absent_field() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let mut body = run("s", json!("true"));
    for field in ["cwd", "env", "user", "stdin", "timeoutSeconds", "concurrency", "background"] {
        body[field] = Value::Null;
    }
    let body = api.post(EXECUTE, body).await.expect(202);
    let job = job(&api, &body);
    let command = job.command().unwrap();
    assert_eq!((command.timeout.as_secs(), command.background), (600, false));
    let start = json!({"image": null, "size": null, "webhook": null, "command": null});
    api.post("/v1/shell/start", start).await.expect(202);
    let answer = api.post(EXECUTE, run("s", Value::Null)).await;
    answer.refused_at(&["/command"]);
}

#[tokio::test]
async fn before_readiness_a_command_waits_without_a_notification() {
    for fakes in [
        Fakes::new().with_waiting_session("s"),
        Fakes::new().with_queued_session("s"),
        Fakes::new().with_starting_session("s"),
    ] {
        let api = Api::new(fakes);
        api.post(EXECUTE, run("s", json!("true"))).await.expect(202);
        assert_eq!(api.messages(), []);
    }
}

#[tokio::test]
async fn readiness_between_read_and_write_is_not_missed() {
    let api = Api::new(Fakes::new().with_starting_session("s"));
    let fakes = api.fakes.clone();
    let mut reads = 0;
    api.fakes.gate.fail(move |_, action| {
        if action == "reading a session" {
            reads += 1;
            if reads == 2 {
                let _ready = fakes.clone().after("s", Event::Running).after("s", Event::Ready);
            }
        }
        None
    });
    api.post(EXECUTE, run("s", json!("true"))).await.expect(202);
    assert_eq!(api.messages(), [Message::RunJob { session: session_id("s") }]);
}

#[tokio::test]
async fn a_command_that_must_not_wait_is_refused_before_readiness() {
    let mut body = run("s", json!("true"));
    body["ifNotReady"] = json!("reject");
    let api = Api::new(Fakes::new().with_starting_session("s"));
    let answer = api.post(EXECUTE, body.clone()).await;
    assert_eq!(answer.problem(409, "not_ready")["retryable"], true);
    assert_eq!(answer.header("retry-after"), Some("1"));
    Api::new(Fakes::new().with_ready_session("s")).post(EXECUTE, body).await.expect(202);
}

#[tokio::test]
async fn an_ended_session_accepts_no_command() {
    for fakes in [Fakes::new().with_stopping_session("s"), Fakes::new().with_ended_session("s")] {
        let api = Api::new(fakes);
        api.post(EXECUTE, run("s", json!("true"))).await.problem(410, "session_ended");
        api.get(&format!("/v1/sessions/{}", session_id("s"))).await.expect(200);
    }
}

#[tokio::test]
async fn a_session_that_ends_between_read_and_write_accepts_no_command() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let fakes = api.fakes.clone();
    let mut done = false;
    api.fakes.gate.fail(move |_, action| {
        if action == "committing" && !done {
            done = true;
            let stop = Event::Stop { reason: domain::session::Reason::UserStop, note: None };
            let _stopped = fakes.clone().after("s", stop);
        }
        None
    });
    api.post(EXECUTE, run("s", json!("true"))).await.problem(410, "session_ended");
}

#[tokio::test]
async fn unknown_malformed_and_others_sessions_do_not_exist() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    api.post(EXECUTE, run("other", json!("true"))).await.problem(404, "not_found");
    for id in ["", "sh_", "sh_01", "job_01ARZ3NDEKTSV4RRFFQ69G5FAV", "../../etc"] {
        let body = json!({"sessionId": id, "command": "true"});
        api.post(EXECUTE, body).await.problem(404, "not_found");
    }
    let request = Request::post(EXECUTE).header("content-type", "application/json");
    let answer = api.send(&by(&bob(), request), run("s", json!("true")).to_string()).await;
    answer.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_kept_and_which_shell_runs_a_line_can_be_chosen() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let accepted = api.post(EXECUTE, run("s", json!("true"))).await.expect(202);
    let job_by_default = job(&api, &accepted);
    let command = job_by_default.command().unwrap();
    assert_eq!((command.keep, command.shell), (Keep::Both, None));
    for (keep, expected) in [("head", Keep::Head), ("tail", Keep::Tail), ("both", Keep::Both)] {
        for (shell, name) in [("bash", ShellName::Bash), ("sh", ShellName::Sh)] {
            let mut body = run("s", json!("true"));
            body["keep"] = json!(keep);
            body["shell"] = json!(shell);
            let job = job(&api, &api.post(EXECUTE, body).await.expect(202));
            let command = job.command().unwrap();
            assert_eq!((command.keep, command.shell), (expected, Some(name)));
        }
    }
}

#[tokio::test]
async fn stderr_is_merged_into_stdout_only_on_request() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    for (merge, expected) in [(json!(null), false), (json!(false), false), (json!(true), true)] {
        let mut body = run("s", json!("true"));
        body["merge"] = merge;
        let job = job(&api, &api.post(EXECUTE, body).await.expect(202));
        let command = job.command().unwrap();
        assert_eq!((command.merge, command.has_marks()), (expected, expected));
    }
}

#[tokio::test]
async fn merged_output_has_no_marks_where_they_are_declined() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let mut body = run("s", json!("true"));
    body["merge"] = json!(true);
    body["marks"] = json!(false);
    let job = job(&api, &api.post(EXECUTE, body).await.expect(202));
    let command = job.command().unwrap();
    assert!(command.merge && !command.has_marks());
}

#[tokio::test]
async fn a_command_line_shares_the_shell_that_it_names() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let body = run("s", json!("cd /tmp"));
    for (fields, expected) in [
        (json!({}), None),
        (json!({"state": "fresh"}), None),
        (json!({"state": "shared"}), Some("default")),
        (json!({"state": "shared", "shellName": "main.1_A-b"}), Some("main.1_A-b")),
        (json!({"state": "shared", "concurrency": "serial", "user": "nobody"}), Some("default")),
    ] {
        let mut body = body.clone();
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let accepted = api.post(EXECUTE, body).await.expect(202);
        let job = job(&api, &accepted);
        let command = job.command().unwrap();
        assert_eq!(command.shared_shell.as_deref(), expected, "{fields}");
        assert_eq!(command.background, expected.is_some(), "what runs in a shared shell stays");
        let view = serde_json::to_value(crate::view::job(&job)).unwrap();
        assert_eq!(view["shell"], expected.map_or(json!(null), |name| json!({"name": name})));
    }
}

#[tokio::test]
async fn what_has_no_meaning_in_a_shared_shell_is_refused() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    for (field, value) in [
        ("cwd", json!("/tmp")),
        ("env", json!({"A": "1"})),
        ("shell", json!("bash")),
        ("background", json!(false)),
        ("concurrency", json!("parallel")),
        ("command", json!(["true"])),
        ("shellName", json!("")),
        ("shellName", json!("a b")),
        ("shellName", json!("a/b")),
        ("shellName", json!("x".repeat(65))),
        ("shellName", json!(1)),
        ("state", json!("other")),
    ] {
        let mut body = run("s", json!("true"));
        body["state"] = json!("shared");
        body[field] = value;
        api.post(EXECUTE, body).await.refused_at(&[&format!("/{field}")]);
    }
    let mut body = run("s", json!("true"));
    body["shellName"] = json!("main");
    api.post(EXECUTE, body.clone()).await.refused_at(&["/shellName"]);
    body["state"] = json!("shared");
    body["interactive"] = json!(true);
    api.post(EXECUTE, body).await.refused_at(&["/state", "/shellName"]);
}

#[tokio::test]
async fn a_program_with_arguments_has_no_shell() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let mut body = run("s", json!(["true"]));
    body["shell"] = json!("bash");
    api.post(EXECUTE, body).await.refused_at(&["/shell"]);
}
