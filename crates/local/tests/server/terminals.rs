//! Terminals of shells, opened by our client of the data channel and by those of others.

use std::{path::PathBuf, process::Stdio, sync::Arc};

use futures::{SinkExt, StreamExt};
use local::{
    clock::{MonotonicIds, SystemClock},
    database::Database,
    tokens::Tokens,
};
use reqwest::header::ORIGIN;
use ssm::{CloseReason, client::Channel};
use tokio::{net::TcpStream, process::Command, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, handshake::client::Response},
};

use super::*;

#[path = "terminals/resume.rs"]
mod resume;
pub(super) use resume::*;

const TIME_LIMIT: Duration = Duration::from_secs(30);

struct Fixture {
    server: Server,
    user: User,
    session: String,
    dir: tempfile::TempDir,
}

impl Fixture {
    async fn start(body: Value) -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let server = start(dir.path()).await.expect("the server starts");
        let user = User::of(&server);
        let started = user.post("/v1/shell/start", body).await;
        let session = started["sessionId"].as_str().expect("an id").to_owned();
        Self { server, user, session, dir }
    }

    /// A new terminal with this command, and how it is opened.
    async fn terminal(&self, body: Value) -> (Value, Value) {
        let job = self.user.post(&format!("/v1/sessions/{}/terminal", self.session), body).await;
        let offer = self.user.offer(&job).await;
        (job, offer)
    }

    async fn line(&self, line: &str) -> (Value, Value) {
        self.terminal(json!({"command": ["sh", "-c", line]})).await
    }

    async fn events(&self) -> Vec<String> {
        let events = self.user.get(&format!("/v1/sessions/{}/events", self.session)).await;
        let events = events["data"].as_array().expect("a list").iter();
        events.map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
    }

    async fn stop(self) {
        let stopped = self.user.post("/v1/shell/stop", json!({"sessionId": self.session})).await;
        assert_eq!(self.user.end_of(&stopped).await["status"], "completed");
        self.server.stop().await.expect("the server stops");
    }
}

impl User {
    /// How the terminal of a job is opened, once that is possible.
    async fn offer(&self, job: &Value) -> Value {
        let id = job["jobId"].as_str().expect("a job has an id");
        let job = self.get(&format!("/v1/jobs/{id}?waitSeconds=20")).await;
        assert_eq!((&job["type"], &job["status"]), (&json!("terminal"), &json!("running")));
        assert!(job["terminal"]["streamUrl"].is_string(), "the job has a terminal");
        job["terminal"].clone()
    }

    /// A response that is no JSON, whatever its status.
    async fn text(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        let answer = request.send().await.expect("the server answers");
        answer.text().await.expect("the answer is whole")
    }

    /// Another permission to open the terminal of a job.
    async fn offer_again(&self, job: &Value) -> Value {
        let id = job["jobId"].as_str().expect("a job has an id");
        self.post(&format!("/v1/jobs/{id}/terminal"), json!({})).await;
        self.offer(job).await
    }
}

/// A WebSocket to this URL, from a page of this origin, if there is one.
async fn socket(
    url: &str,
    origin: Option<&str>,
) -> Result<(WebSocketStream<TcpStream>, Response), tungstenite::Error> {
    let mut request = url.into_client_request().expect("a URL");
    let headers = request.headers_mut();
    headers.extend(origin.map(|origin| (ORIGIN, origin.parse().expect("a header"))));
    let address = request.uri().authority().expect("an address").to_string();
    let stream = TcpStream::connect(address).await.expect("the server listens");
    client_async(request, stream).await
}

async fn open(offer: &Value, token: &str) -> Channel {
    let url = offer["streamUrl"].as_str().expect("a URL");
    ssm::client::open(url, token, &[]).await.expect("the server upgrades the connection")
}

async fn opened(offer: &Value) -> Channel {
    open(offer, offer["tokenValue"].as_str().expect("a token")).await
}

/// Reads until the terminal has shown this.
async fn until(channel: &mut Channel, wanted: &str) -> String {
    let mut shown = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&shown).contains(wanted) {
            let count = channel.read_buf(&mut shown).await.expect("the terminal is open");
            assert!(count > 0, "{wanted:?} is not in {:?}", String::from_utf8_lossy(&shown));
        }
    };
    timeout(TIME_LIMIT, read).await.expect("it is shown in time");
    String::from_utf8_lossy(&shown).into_owned()
}

/// The server's message at the end of a channel.
async fn end(channel: &mut Channel) -> String {
    let reason = channel.closed();
    let mut rest = Vec::new();
    let read = timeout(TIME_LIMIT, channel.read_to_end(&mut rest)).await;
    read.expect("the channel ends in time").expect("the channel ends properly");
    match reason.await {
        CloseReason::Ended { message, .. } => message,
        other @ (CloseReason::Dropped | CloseReason::Lost(_)) => panic!("{other:?}"),
    }
}

/// Whether the server closes a channel without a word.
async fn is_refused(mut channel: Channel) -> bool {
    let mut nothing = Vec::new();
    timeout(TIME_LIMIT, channel.read_to_end(&mut nothing)).await.expect("it is closed").is_err()
}

pub(super) async fn a_terminal_is_used_left_opened_again_and_ends_with_an_exit_code() {
    let shell = Fixture::start(json!({})).await;
    let body = json!({"sessionId": shell.session, "interactive": true, "cols": 101, "rows": 33});
    let job = shell.user.post("/v1/shell/execute", body).await;
    let mut first = opened(&shell.user.offer(&job).await).await;
    first.write_all(b"stty size; echo $((6*7)); NAME=kept\r").await.expect("it is sent");
    until(&mut first, "33 101\r\n42\r\n").await;
    first.close().await;

    let mut again = opened(&shell.user.offer_again(&job).await).await;
    until(&mut again, "42\r\n").await;
    again.resize(77, 22);
    // What is typed may arrive before the size.
    let line =
        b"until stty size | grep -q '^22 77'; do sleep 0.05; done; echo $NAME; stty size; exit 7\r";
    again.write_all(line).await.expect("it is sent");
    until(&mut again, "kept\r\n22 77\r\n").await;
    assert_eq!(end(&mut again).await, "");
    let job = shell.user.end_of(&job).await;
    assert_eq!((&job["status"], &job["exitCode"]), (&json!("completed"), &json!(7)), "{job}");
    assert!(job["terminal"].is_null(), "{job}");
    let events = shell.events().await;
    let terminal: Vec<_> =
        events.iter().filter_map(|kind| kind.strip_prefix("terminal_")).collect();
    assert_eq!(terminal, ["opened", "attached", "detached", "attached", "closed"]);
    shell.stop().await;
}

pub(super) async fn a_token_opens_a_terminal_once() {
    let shell = Fixture::start(json!({})).await;
    let (job, offer) = shell.line("echo shown; read line").await;
    assert!(is_refused(open(&offer, "a-wrong-token").await).await);
    assert!(is_refused(opened(&offer).await).await, "a wrong token withdraws the permission");
    let offer = shell.user.offer_again(&job).await;
    let (one, other) = tokio::join!(opened(&offer), opened(&offer));
    let (mut one, mut other) = (one, other);
    let shows = async |channel: &mut Channel| {
        let mut byte = [0];
        timeout(TIME_LIMIT, channel.read(&mut byte)).await.expect("in time").is_ok_and(|n| n == 1)
    };
    let shown = [shows(&mut one).await, shows(&mut other).await];
    assert_ne!(shown[0], shown[1], "one of two clients gets the terminal");
    assert!(is_refused(opened(&offer).await).await, "the token was used");
    let id = job["jobId"].as_str().expect("an id");
    assert!(shell.user.get(&format!("/v1/jobs/{id}")).await["terminal"].is_null());
    shell.stop().await;
}

pub(super) async fn a_terminal_lives_on_during_a_restart_of_the_server() {
    let Fixture { server, user, session, dir } = Fixture::start(json!({})).await;
    let job = user.post(&format!("/v1/sessions/{session}/terminal"), json!({})).await;
    let mut before = opened(&user.offer(&job).await).await;
    before.write_all(b"NAME=kept; echo be''fore\r").await.expect("it is sent");
    until(&mut before, "before\r\n").await;
    server.stop().await.expect("the server stops");
    assert!(end(&mut before).await.starts_with("the server stops"));

    let server = start(dir.path()).await.expect("the server starts again");
    let shell = Fixture { user: User::of(&server), server, session, dir };
    let mut after = opened(&shell.user.offer_again(&job).await).await;
    after.write_all(b"echo $NAME; exit\r").await.expect("it is sent");
    until(&mut after, "kept\r\n").await;
    assert_eq!(shell.user.end_of(&job).await["exitCode"], 0);
    shell.stop().await;
}

pub(super) async fn the_end_of_a_session_closes_its_terminals_with_a_message() {
    let shell = Fixture::start(json!({"ttlSeconds": 3})).await;
    let (job, offer) = shell.line("echo shown; exec sleep 1000").await;
    let mut channel = opened(&offer).await;
    until(&mut channel, "shown").await;
    assert_eq!(end(&mut channel).await, "the session has ended: ttl_expired");
    let job = shell.user.end_of(&job).await;
    assert_eq!(job["status"], "cancelled", "{job}");
    shell.server.stop().await.expect("the server stops");
}

pub(super) async fn a_revoked_user_loses_open_terminals_and_unused_permissions() {
    let shell = Fixture::start(json!({})).await;
    let (job, offer) = shell.line("echo shown; exec sleep 1000").await;
    let mut channel = opened(&offer).await;
    until(&mut channel, "shown").await;
    let unused = shell.user.offer_again(&job).await;
    let db = Database::open_shared(shell.dir.path()).expect("the database can be opened");
    let tokens = Tokens::new(db, Arc::new(SystemClock), Arc::new(MonotonicIds::default()));
    for token in tokens.list().expect("the tokens can be read") {
        assert!(tokens.revoke(&token.id).await.expect("a token can be revoked"));
    }
    let revoked = "the access of this user was revoked";
    assert_eq!(end(&mut opened(&unused).await).await, revoked);
    assert_eq!(end(&mut channel).await, revoked);
    let token = tokens.create(&local::UserId::new("local")).await.expect("a token can be created");
    let user = User { token: token.into_inner(), ..shell.user };
    Fixture { user, ..shell }.stop().await;
}

pub(super) async fn nonsense_on_a_data_channel_harms_neither_the_terminal_nor_the_server() {
    let shell = Fixture::start(json!({})).await;
    let (job, offer) = shell.line("echo shown; read line; echo got $line").await;
    let url = offer["streamUrl"].as_str().expect("a URL");
    let (mut client, _) = socket(url, None).await.expect("the server upgrades");
    client.send(Message::Binary(vec![0; 64].into())).await.expect("it is sent");
    // A first message that does not open the channel ends the connection.
    let closed = async { while let Some(Ok(_)) = client.next().await {} };
    timeout(TIME_LIMIT, closed).await.expect("the connection is closed");

    let (mut client, _) = socket(url, None).await.expect("the server upgrades");
    let opening = json!({"MessageSchemaVersion": "1.0", "TokenValue": offer["tokenValue"]});
    client.send(Message::Text(opening.to_string().into())).await.expect("it is sent");
    for length in [0, 1, 100, 1 << 20] {
        let sent = client.send(Message::Binary(vec![0xff; length].into())).await;
        // The server may have closed the connection by now.
        drop(sent);
    }
    drop(client);
    let mut channel = opened(&shell.user.offer_again(&job).await).await;
    channel.write_all(b"sense\r").await.expect("it is sent");
    until(&mut channel, "got sense").await;
    assert_eq!(shell.user.end_of(&job).await["exitCode"], 0);
    shell.stop().await;
}

pub(super) async fn only_pages_of_this_origin_and_of_listed_ones_can_open_a_terminal() {
    let shell = Fixture::start(json!({})).await;
    let (_, offer) = shell.line("read line").await;
    let url = offer["streamUrl"].as_str().expect("a URL");
    let own = shell.user.url.clone();
    let listed = "https://app.example";
    for (origin, status) in [
        ("https://example.com", 403),
        ("null", 403),
        ("http://app.example", 403),
        (listed, 101),
        (own.as_str(), 101),
    ] {
        let got = match socket(url, Some(origin)).await {
            Ok((_, response)) => response.status().as_u16(),
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(got, status, "{origin}");
    }
    let plain = shell.user.http.get(url.replacen("ws", "http", 1)).send().await;
    assert_eq!(plain.expect("an answer").status().as_u16(), 426, "no WebSocket");
    shell.stop().await;
}

pub(super) async fn terminals_leave_no_pseudo_terminals_behind() {
    let shell = Fixture::start(json!({})).await;
    for _ in 0..5 {
        let (job, offer) = shell.line("echo shown; read line").await;
        let mut channel = opened(&offer).await;
        until(&mut channel, "shown").await;
        channel.write_all(b"\r").await.expect("it is sent");
        assert_eq!(shell.user.end_of(&job).await["exitCode"], 0);
    }
    let command = json!({"sessionId": shell.session, "command": "ls /dev/pts"});
    let listed = shell.user.post("/v1/shell/execute", command).await;
    let job = shell.user.end_of(&listed).await;
    assert_eq!(job["stdout"]["text"], "ptmx\n", "{job}");
    shell.stop().await;
}

pub(super) async fn a_recording_goes_on_over_a_restart_and_outlives_its_shell() {
    let Fixture { server, user, session, dir } = Fixture::start(json!({})).await;
    let body = json!({"command": "sh", "cols": 90, "record": true});
    let job = user.post(&format!("/v1/sessions/{session}/terminal"), body).await;
    let recording = format!("/v1/jobs/{}/recording", job["jobId"].as_str().expect("an id"));
    let mut before = opened(&user.offer(&job).await).await;
    before.write_all(b"echo be''fore\r").await.expect("it is sent");
    until(&mut before, "before\r\n").await;
    let stored = async {
        while !user.text(&recording).await.contains("before\\r\\n") {
            tokio::task::yield_now().await;
        }
    };
    timeout(TIME_LIMIT, stored).await.expect("it is stored while the command runs");
    server.stop().await.expect("the server stops");

    let server = start(dir.path()).await.expect("the server starts again");
    let shell = Fixture { user: User::of(&server), server, session, dir };
    let mut after = opened(&shell.user.offer_again(&job).await).await;
    after.resize(101, 33);
    after.write_all(b"echo af''ter; exit\r").await.expect("it is sent");
    assert_eq!(end(&mut after).await, "");
    assert_eq!(shell.user.end_of(&job).await["exitCode"], 0);
    let Fixture { server, user, session, dir } = shell;
    let stopped = user.post("/v1/shell/stop", json!({"sessionId": session})).await;
    assert_eq!(user.end_of(&stopped).await["status"], "completed");
    let lines: Vec<Value> = user
        .text(&recording)
        .await
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON in each line"))
        .collect();
    assert_eq!((&lines[0]["version"], &lines[0]["width"]), (&json!(2), &json!(90)));
    let of = |code: &str| -> Vec<&str> {
        let events = lines[1..].iter().filter(|event| event[1] == code);
        events.map(|event| event[2].as_str().expect("a text")).collect()
    };
    let shown = of("o").concat();
    assert!(shown.contains("before\r\n") && shown.contains("after\r\n"), "{shown}");
    assert_eq!(shown.matches("before\r\n").count(), 1, "nothing is recorded twice");
    assert_eq!(of("r").last(), Some(&"101x33"));
    server.stop().await.expect("the server stops");
    drop(dir);
}

/// A file below `target`; `None`, with the reason printed, if it is not installed.
fn installed(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(path);
    if !path.exists() {
        println!("SKIPPED: {} is missing; scripts/client-tools installs it", path.display());
        return None;
    }
    Some(path)
}

pub(super) async fn clients_of_others_attach_unchanged() {
    let shell = Fixture::start(json!({})).await;
    let python = installed("pyssm-client/bin/python").map(|path| ("attach.py", path, None));
    let modules = installed("ssm-session/node_modules");
    let node = modules.map(|modules| ("attach.js", PathBuf::from("node"), Some(modules)));
    for (script, program, modules) in [python, node].into_iter().flatten() {
        let (job, offer) = shell.terminal(json!({"command": ["sh"]})).await;
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fargate/clients").join(script);
        let mut command = Command::new(program);
        command.arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command.envs(modules.map(|modules| ("NODE_PATH", modules)));
        let mut child = command.spawn().expect("the client starts");
        let typed = format!("{offer}\necho $((6*7)) from $(id -un)\nexit 5\n");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(typed.as_bytes()).await.expect("the client reads");
        drop(stdin);
        let ended = timeout(TIME_LIMIT, child.wait_with_output()).await.expect("it ends in time");
        let printed = String::from_utf8_lossy(&ended.expect("it ends").stdout).into_owned();
        assert!(printed.contains("42 from shelluser\r\n"), "{}: {printed}", script.display());
        assert_eq!(shell.user.end_of(&job).await["exitCode"], 5);
    }
    shell.stop().await;
}

/// AWS's client, if it is installed. No package registry has it; it is built from github.com/aws/session-manager-plugin.
fn session_manager_plugin() -> Option<PathBuf> {
    let own = std::env::var_os("SESSION_MANAGER_PLUGIN").map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&paths).map(|path| path.join("session-manager-plugin"));
    let found = own.or_else(|| found.find(|path| path.exists()));
    if found.is_none() {
        println!(
            "SKIPPED: session-manager-plugin of AWS is neither in PATH nor in $SESSION_MANAGER_PLUGIN"
        );
    }
    found
}

pub(super) async fn the_client_of_aws_attaches_with_the_arguments_of_its_cli() {
    let Some(plugin) = session_manager_plugin() else { return };
    let shell = Fixture::start(json!({})).await;
    for (command, shown) in
        [(json!(["sh"]), "42\r"), (json!(["cat"]), "echo $((6*7))\r\r\necho $((6*7))\r")]
    {
        let (job, offer) = shell.terminal(json!({"command": command})).await;
        let [id, url, token] = ["sessionId", "streamUrl", "tokenValue"].map(|name| &offer[name]);
        let response = json!({"SessionId": id, "StreamUrl": url, "TokenValue": token}).to_string();
        // As of `aws ecs execute-command`, with an empty profile. No request goes to the endpoint.
        let line = format!(
            "exec {} '{response}' eu-west-1 StartSession '' '{}' http://127.0.0.1:9",
            plugin.display(),
            json!({"Target": "ecs:cluster_0123456789abcdef_0123456789abcdef-1"}),
        );
        let start = || {
            let mut script = Command::new("script");
            script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
            script.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            script
        };
        let mut child = start().spawn().expect("script of Debian's bsdutils is installed");
        let (mut stdin, mut stdout) =
            (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut printed = String::new();
        let mut wait_for = async |wanted: &str| {
            let mut piece = [0; 4096];
            let read = async {
                while !printed.contains(wanted) {
                    let count = stdout.read(&mut piece).await.expect("a pipe can be read");
                    assert!(count > 0, "{wanted:?} is not in {printed:?}");
                    printed.push_str(&String::from_utf8_lossy(&piece[..count]));
                }
            };
            timeout(TIME_LIMIT, read).await.expect("it is printed in time");
        };
        wait_for("Starting session with SessionId: terminal-").await;
        stdin.write_all(b"echo $((6*7))\n").await.expect("the plugin reads");
        wait_for(shown).await;
        stdin.write_all(b"\x04").await.expect("the plugin reads");
        wait_for("Exiting session with sessionId: terminal-").await;
        let status = timeout(TIME_LIMIT, child.wait()).await.expect("it ends in time");
        assert!(status.expect("it ends").success());
        assert_eq!(shell.user.end_of(&job).await["exitCode"], 0);
        // The token was used. Without a reason, this client would try to resume the session for ever.
        let refused = timeout(TIME_LIMIT, start().output()).await.expect("it ends in time");
        let printed = String::from_utf8_lossy(&refused.expect("it ran").stdout).into_owned();
        assert!(printed.contains("the token was used"), "{printed}");
    }
    shell.stop().await;
}
