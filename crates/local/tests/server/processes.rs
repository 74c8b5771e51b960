//! Processes of real shells.

use super::*;

struct Shells {
    user: User,
}

impl Shells {
    async fn ready(&self) -> String {
        let started = self.user.post("/v1/shell/start", json!({})).await;
        assert_eq!(self.user.end_of(&started).await["status"], "completed");
        started["sessionId"].as_str().expect("an id").to_owned()
    }

    /// Leaves `sleep 1000` running in the shell, and returns the job that did.
    async fn begin(&self, session: &str) -> Value {
        // Until it is executed, the new process is a copy of the shell.
        let line = "sleep 1000 & until [ $(cat /proc/$!/comm) = sleep ]; do :; done";
        let command = json!({"sessionId": session, "command": line, "background": true});
        let job = self.user.end_of(&self.user.post("/v1/shell/execute", command).await).await;
        assert_eq!(job["exitCode"], 0, "{job}");
        job
    }

    async fn list(&self, session: &str) -> Vec<Value> {
        let list = self.user.get(&format!("/v1/sessions/{session}/processes")).await;
        list["processes"].as_array().expect("a list").clone()
    }

    /// Sends a signal, and returns the status of the answer.
    async fn signal(&self, session: &str, pid: i64, body: Value) -> u16 {
        let path = format!("{}/v1/sessions/{session}/processes/{pid}/signal", self.user.url);
        let request = self.user.http.post(path).bearer_auth(&self.user.token);
        let request = request.header("content-type", "application/json").body(body.to_string());
        request.send().await.expect("it answers").status().as_u16()
    }
}

pub(super) async fn processes_of_a_shell_are_listed_and_signalled_and_no_others() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let server = start(dir.path()).await.expect("the server starts");
    let shells = Shells { user: User::of(&server) };
    let (one, other) = (shells.ready().await, shells.ready().await);
    assert!(shells.list(&one).await.is_empty(), "the runner is no command");
    let (first, second) = (shells.begin(&one).await, shells.begin(&one).await);
    shells.begin(&other).await;
    let listed = shells.list(&one).await;
    let jobs: Vec<_> = listed.iter().map(|process| &process["jobId"]).collect();
    assert_eq!(jobs, [&first["jobId"], &second["jobId"]]);
    for process in &listed {
        assert_eq!(process["arguments"], json!(["sleep", "1000"]), "{process}");
        assert_eq!((&process["user"], &process["name"]), (&json!("shelluser"), &json!("sleep")));
    }
    let [pid, second] = [&listed[0], &listed[1]].map(|one| one["pid"].as_i64().expect("a pid"));
    // The second pid means nothing in the other shell, which has one command.
    for strange in [1, second, i64::from(std::process::id()), 0, -1, 1 << 40] {
        assert_eq!(
            shells.signal(&other, strange, json!({"signal": "KILL"})).await,
            404,
            "{strange}"
        );
    }
    let earlier = json!({"signal": "KILL", "startedAt": "2020-01-01T00:00:00.000Z"});
    assert_eq!(shells.signal(&one, pid, earlier).await, 404);
    let started = json!({"signal": "KILL", "startedAt": listed[0]["startedAt"]});
    assert_eq!(shells.signal(&one, pid, started).await, 204);
    while shells.list(&one).await.len() > 1 {}
    assert_eq!(shells.signal(&one, pid, json!({"signal": "KILL"})).await, 404);
    assert_eq!((shells.list(&one).await.len(), shells.list(&other).await.len()), (1, 1));
    for session in [one, other] {
        let stopped = shells.user.post("/v1/shell/stop", json!({"sessionId": session})).await;
        assert_eq!(shells.user.end_of(&stopped).await["status"], "completed");
        let path = format!("{}/v1/sessions/{session}/processes", shells.user.url);
        let request = shells.user.http.get(path);
        assert_eq!(shells.user.send(request, 410).await["code"], "session_ended");
    }
    server.stop().await.expect("the server stops");
}
