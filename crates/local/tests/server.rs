//! Tests of a whole server in a directory of its own, with real sandboxes.
//!
//! They run without the standard test harness, because the driver starts sandboxes with this program:
//! `main` must handle the subcommand `runtime`.

#![expect(clippy::print_stdout, reason = "the standard harness prints to standard output")]

use std::{collections::BTreeSet, path::Path, process::ExitCode, time::Duration};

use local::{
    config::{Config, Sandbox},
    server::{Server, StartError},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

#[path = "server/archives.rs"]
mod archives;
#[path = "server/files.rs"]
mod files;
#[path = "server/full_disk.rs"]
mod full_disk;
#[path = "server/processes.rs"]
mod processes;
#[path = "server/terminals.rs"]
mod terminals;

/// The names of the tests.
const TESTS: [&str; 29] = [
    "processes_of_a_shell_are_listed_and_signalled_and_no_others",
    "a_large_file_passes_in_both_directions_without_being_held_in_memory",
    "a_full_disk_and_a_lost_client_leave_the_old_file",
    "the_end_of_a_session_ends_its_transfers",
    "what_the_user_of_a_shell_can_not_read_is_refused",
    "an_archive_of_tar_is_unpacked_and_packed",
    "an_archive_by_zstd_passes_in_both_directions",
    "an_archive_by_zstd_that_is_cut_leaves_the_old_file",
    "what_zstd_makes_small_fills_the_disk_of_the_shell_but_no_memory",
    "a_terminal_is_used_left_opened_again_and_ends_with_an_exit_code",
    "a_token_opens_a_terminal_once",
    "a_terminal_lives_on_during_a_restart_of_the_server",
    "the_end_of_a_session_closes_its_terminals_with_a_message",
    "nonsense_on_a_data_channel_harms_neither_the_terminal_nor_the_server",
    "only_pages_of_this_origin_and_of_listed_ones_can_open_a_terminal",
    "terminals_leave_no_pseudo_terminals_behind",
    "clients_of_others_attach_unchanged",
    "a_connection_cut_amid_a_paste_and_output_loses_and_doubles_nothing",
    "only_the_client_of_a_channel_can_resume_it",
    "a_recording_goes_on_over_a_restart_and_outlives_its_shell",
    "the_client_of_aws_attaches_with_the_arguments_of_its_cli",
    "on_a_full_disk_shells_are_stopped_and_end_at_their_time_to_live",
    "a_session_stopped_with_its_token_ends_on_a_running_server",
    "the_result_of_a_command_can_be_read_after_the_end_of_its_shell",
    "a_command_runs_on_during_a_restart_of_the_server",
    "a_one_shot_ends_by_itself_and_sends_webhooks",
    "without_a_token_only_health_and_metrics_are_served",
    "the_console_is_served_only_if_it_is_configured",
    "a_revoked_user_loses_open_terminals_and_unused_permissions",
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "runtime") {
        return sandbox::runtime_main(args.into_iter().skip(1).map(Into::into));
    }
    if args.iter().any(|arg| arg == "--list") {
        // No test is ignored. The format is that of the standard harness, for test runners that list first.
        let named = TESTS.iter().filter(|_| !args.iter().any(|arg| arg == "--ignored"));
        named.for_each(|name| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<_> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let missing = runtime.block_on(missing_isolation());
    for name in TESTS {
        if !filters.is_empty() && !filters.iter().any(|part| name.contains(*part)) {
            continue;
        }
        if let Some(reason) = &missing {
            println!("SKIPPED: {name}: {reason}");
            continue;
        }
        runtime.block_on(test(name));
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

async fn test(name: &str) {
    match name {
        "the_result_of_a_command_can_be_read_after_the_end_of_its_shell" => {
            the_result_of_a_command_can_be_read_after_the_end_of_its_shell().await;
        }
        "a_command_runs_on_during_a_restart_of_the_server" => {
            a_command_runs_on_during_a_restart_of_the_server().await;
        }
        "a_one_shot_ends_by_itself_and_sends_webhooks" => {
            a_one_shot_ends_by_itself_and_sends_webhooks().await;
        }
        "without_a_token_only_health_and_metrics_are_served" => {
            without_a_token_only_health_and_metrics_are_served().await;
        }
        "on_a_full_disk_shells_are_stopped_and_end_at_their_time_to_live" => {
            full_disk::on_a_full_disk_shells_are_stopped_and_end_at_their_time_to_live().await;
        }
        "a_session_stopped_with_its_token_ends_on_a_running_server" => {
            a_session_stopped_with_its_token_ends_on_a_running_server().await;
        }
        "the_console_is_served_only_if_it_is_configured" => {
            the_console_is_served_only_if_it_is_configured().await;
        }
        "a_terminal_is_used_left_opened_again_and_ends_with_an_exit_code" => {
            terminals::a_terminal_is_used_left_opened_again_and_ends_with_an_exit_code().await
        }
        "a_token_opens_a_terminal_once" => terminals::a_token_opens_a_terminal_once().await,
        "a_terminal_lives_on_during_a_restart_of_the_server" => {
            terminals::a_terminal_lives_on_during_a_restart_of_the_server().await
        }
        "the_end_of_a_session_closes_its_terminals_with_a_message" => {
            terminals::the_end_of_a_session_closes_its_terminals_with_a_message().await
        }
        "nonsense_on_a_data_channel_harms_neither_the_terminal_nor_the_server" => {
            terminals::nonsense_on_a_data_channel_harms_neither_the_terminal_nor_the_server().await
        }
        "a_revoked_user_loses_open_terminals_and_unused_permissions" => {
            terminals::a_revoked_user_loses_open_terminals_and_unused_permissions().await
        }
        "only_pages_of_this_origin_and_of_listed_ones_can_open_a_terminal" => {
            terminals::only_pages_of_this_origin_and_of_listed_ones_can_open_a_terminal().await
        }
        "terminals_leave_no_pseudo_terminals_behind" => {
            terminals::terminals_leave_no_pseudo_terminals_behind().await
        }
        "a_connection_cut_amid_a_paste_and_output_loses_and_doubles_nothing" => {
            terminals::a_connection_cut_amid_a_paste_and_output_loses_and_doubles_nothing().await
        }
        "a_recording_goes_on_over_a_restart_and_outlives_its_shell" => {
            terminals::a_recording_goes_on_over_a_restart_and_outlives_its_shell().await
        }
        "only_the_client_of_a_channel_can_resume_it" => {
            terminals::only_the_client_of_a_channel_can_resume_it().await
        }
        "the_client_of_aws_attaches_with_the_arguments_of_its_cli" => {
            terminals::the_client_of_aws_attaches_with_the_arguments_of_its_cli().await
        }
        "clients_of_others_attach_unchanged" => {
            terminals::clients_of_others_attach_unchanged().await
        }
        "processes_of_a_shell_are_listed_and_signalled_and_no_others" => {
            processes::processes_of_a_shell_are_listed_and_signalled_and_no_others().await;
        }
        "a_large_file_passes_in_both_directions_without_being_held_in_memory" => {
            files::a_large_file_passes_in_both_directions_without_being_held_in_memory().await;
        }
        "a_full_disk_and_a_lost_client_leave_the_old_file" => {
            files::a_full_disk_and_a_lost_client_leave_the_old_file().await;
        }
        "the_end_of_a_session_ends_its_transfers" => {
            files::the_end_of_a_session_ends_its_transfers().await;
        }
        "what_the_user_of_a_shell_can_not_read_is_refused" => {
            files::what_the_user_of_a_shell_can_not_read_is_refused().await;
        }
        "an_archive_of_tar_is_unpacked_and_packed" => {
            files::an_archive_of_tar_is_unpacked_and_packed().await;
        }
        "an_archive_by_zstd_passes_in_both_directions" => {
            archives::an_archive_by_zstd_passes_in_both_directions().await;
        }
        "an_archive_by_zstd_that_is_cut_leaves_the_old_file" => {
            archives::an_archive_by_zstd_that_is_cut_leaves_the_old_file().await;
        }
        "what_zstd_makes_small_fills_the_disk_of_the_shell_but_no_memory" => {
            archives::what_zstd_makes_small_fills_the_disk_of_the_shell_but_no_memory().await;
        }
        other => panic!("there is no test {other}"),
    }
}

/// Why this host can't isolate shells, if it can't.
async fn missing_isolation() -> Option<String> {
    let dir = tempfile::tempdir().expect("a directory can be made");
    match start(dir.path()).await {
        Ok(server) => {
            server.stop().await.expect("a server stops");
            None
        }
        Err(StartError::Sandbox(error)) => Some(error.to_string()),
        Err(error) => panic!("the server does not start: {error:?}"),
    }
}

async fn start(dir: &Path) -> Result<Server, StartError> {
    Server::start(config(dir)).await
}

fn config(dir: &Path) -> Config {
    let exe = std::env::current_exe().expect("this program has a path");
    let mut config = Config::new(dir.to_owned(), Sandbox::new(exe));
    config.listen.set_port(0);
    config.webhook_allow_private = true;
    config.budget.disk_mib = Some(100_000);
    config.terminal_origins = vec!["https://app.example".to_owned()];
    config
}

/// A user of the server.
struct User {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl User {
    fn of(server: &Server) -> Self {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token = std::fs::read_to_string(server.token_path()).expect("the token file exists");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
        Self { http, url: server.url().to_owned(), token: token.trim().to_owned() }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.url)).body(body.to_string());
        self.send(request.header("content-type", "application/json"), 202).await
    }

    async fn get(&self, path: &str) -> Value {
        self.send(self.http.get(format!("{}{path}", self.url)), 200).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, status: u16) -> Value {
        let answer = request.bearer_auth(&self.token).send().await.expect("the server answers");
        let (got, url) = (answer.status().as_u16(), answer.url().clone());
        let body = answer.text().await.expect("the answer is whole");
        assert_eq!(got, status, "{url}: {body}");
        serde_json::from_str(&body).expect("the answer is JSON")
    }

    /// Waits for a job's end by long polls.
    async fn end_of(&self, job: &Value) -> Value {
        let id = job["jobId"].as_str().expect("a job has an id");
        for _ in 0..3 {
            let job = self.get(&format!("/v1/jobs/{id}?waitSeconds=20")).await;
            if !matches!(job["status"].as_str(), Some("queued" | "running")) {
                return job;
            }
        }
        panic!("job {id} did not end within a minute");
    }
}

async fn the_result_of_a_command_can_be_read_after_the_end_of_its_shell() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let server = start(dir.path()).await.expect("the server starts");
    let user = User::of(&server);

    let started = user.post("/v1/shell/start", json!({})).await;
    let session = started["sessionId"].clone();
    let command = json!({"sessionId": session, "command": "echo out; echo err >&2; exit 3"});
    let executed = user.post("/v1/shell/execute", command).await;
    let job = user.end_of(&executed).await;
    assert_eq!(job["status"], "completed", "{job}");
    assert_eq!(job["exitCode"], 3, "{job}");
    assert_eq!(job["stdout"]["text"], "out\n", "{job}");
    assert_eq!(job["stderr"]["text"], "err\n", "{job}");
    assert_eq!(user.end_of(&started).await["status"], "completed");

    let stopped = user.post("/v1/shell/stop", json!({"sessionId": session})).await;
    assert_eq!(user.end_of(&stopped).await["status"], "completed");
    let path = format!("/v1/sessions/{}", session.as_str().expect("an id"));
    assert_eq!(user.get(&path).await["status"], "stopped");
    assert_eq!(user.end_of(&executed).await["stdout"]["text"], "out\n");
    server.stop().await.expect("the server stops");
}

async fn a_command_runs_on_during_a_restart_of_the_server() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let server = start(dir.path()).await.expect("the server starts");
    let user = User::of(&server);
    let started = user.post("/v1/shell/start", json!({})).await;
    assert_eq!(user.end_of(&started).await["status"], "completed");
    let line = "echo begun; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo done";
    let command = json!({"sessionId": started["sessionId"], "command": line});
    let executed = user.post("/v1/shell/execute", command).await;
    server.stop().await.expect("the server stops");

    let server = start(dir.path()).await.expect("the server starts again");
    let user = User::of(&server);
    let session = &started["sessionId"];
    let go = json!({"sessionId": session, "command": "touch /tmp/go", "concurrency": "parallel"});
    let went = user.post("/v1/shell/execute", go).await;
    assert_eq!(user.end_of(&went).await["exitCode"], 0);
    let job = user.end_of(&executed).await;
    assert_eq!(job["stdout"]["text"], "begun\ndone\n", "{job}");
    let stopped = user.post("/v1/shell/stop", json!({"sessionId": session})).await;
    assert_eq!(user.end_of(&stopped).await["status"], "completed");
    tokio::time::timeout(Duration::from_secs(10), server.stop())
        .await
        .expect("the server stops in time")
        .expect("the server stops");
}

/// The body of the next request, which gets a 204.
async fn next_post(listener: &TcpListener) -> Value {
    let (stream, _) = listener.accept().await.expect("a connection comes");
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("the request can be read");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length is a number");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the request is whole");
    let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    stream.write_all(answer).await.expect("the answer is taken");
    serde_json::from_slice(&body).expect("the body is JSON")
}

async fn a_one_shot_ends_by_itself_and_sends_webhooks() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let server = start(dir.path()).await.expect("the server starts");
    let user = User::of(&server);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
    let body = json!({"command": "echo once", "webhook": {"url": url}});
    let started = user.post("/v1/shell/start", body).await;
    // Webhooks arrive in any order and possibly twice.
    let mut received = BTreeSet::new();
    while received.len() < 3 {
        let post = next_post(&listener).await;
        received.insert(post["type"].as_str().expect("an event has a type").to_owned());
    }
    let expected = ["job.completed", "session.ready", "session.stopped"];
    assert_eq!(received, BTreeSet::from(expected.map(str::to_owned)));
    let job = user.end_of(&json!({"jobId": started["commandJobId"]})).await;
    assert_eq!(job["stdout"]["text"], "once\n", "{job}");
    server.stop().await.expect("the server stops");
}

async fn a_session_stopped_with_its_token_ends_on_a_running_server() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let server = start(dir.path()).await.expect("the server starts");
    let user = User::of(&server);
    let started = user.post("/v1/shell/start", json!({})).await;
    assert_eq!(user.end_of(&started).await["status"], "completed");
    // As another process does, which has no part of the server's memory.
    let db = local::database::Database::open_shared(dir.path()).expect("the directory is there");
    let owner = local::UserId::new("local");
    let clock = local::clock::SystemClock;
    let stopped = local::revocation::stop_sessions(&db, &clock, &owner).await;
    assert_eq!(stopped.expect("the records can be written"), 1);
    let path = format!("/v1/sessions/{}", started["sessionId"].as_str().expect("an id"));
    let ended = async {
        while user.get(&path).await["status"] != "stopped" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
    ended.expect("the session ends");
    server.stop().await.expect("the server stops");
}

async fn without_a_token_only_health_and_metrics_are_served() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let server = start(dir.path()).await.expect("the server starts");
    let anonymous = User { token: "eph_unknown".to_owned(), ..User::of(&server) };
    for (path, status) in [("/healthz", 200), ("/metrics", 200), ("/v1/sessions", 401)] {
        let request = anonymous.http.get(format!("{}{path}", anonymous.url));
        let answer = request.bearer_auth(&anonymous.token).send().await.expect("it answers");
        assert_eq!(answer.status().as_u16(), status, "{path}");
        // As a page in a browser sends it whose name was made to resolve to this machine.
        let request = anonymous.http.get(format!("{}{path}", anonymous.url));
        let answer = request.header("host", "example.com").send().await.expect("it answers");
        assert_eq!(answer.status().as_u16(), 421, "{path}");
    }
    server.stop().await.expect("the server stops");
    assert!(!dir.path().join("server.json").exists(), "the URL of the stopped server is removed");
}

async fn the_console_is_served_only_if_it_is_configured() {
    for console in [false, true] {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let config = Config { console, ..config(dir.path()) };
        let server = Server::start(config).await.expect("the server starts");
        let user = User::of(&server);
        let page = user.http.get(format!("{}/", user.url)).send().await.expect("it answers");
        assert_eq!(page.status().as_u16(), if console { 200 } else { 404 });
        let none = user.http.get(format!("{}/no-such-path", user.url)).send().await;
        let none = none.expect("it answers");
        assert_eq!(none.headers()["content-type"], "application/problem+json", "as without it");
        let code = server.console_code().expect("the token can be read");
        assert_eq!(code.is_some(), console);
        if let Some(code) = code {
            let body = json!({"code": code.expose()}).to_string();
            let sign_in = user.http.post(format!("{}/console/sign-in", user.url)).body(body);
            let answer = sign_in.header("content-type", "application/json").send().await;
            let answer = answer.expect("it answers").text().await.expect("text");
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!(answer, json!({"token": user.token}));
        }
        server.stop().await.expect("the server stops");
    }
}
