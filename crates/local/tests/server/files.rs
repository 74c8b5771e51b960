//! Files of real shells.

use std::io::Write as _;

use futures::{StreamExt, stream};
use tokio::net::TcpStream;

use super::*;

const MIB: usize = 1 << 20;

/// A server with a ready session.
pub(super) struct Place {
    server: Server,
    pub(super) user: User,
    session: Value,
    _dir: tempfile::TempDir,
}

impl Place {
    pub(super) async fn ready(start_body: Value) -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let server = start(dir.path()).await.expect("the server starts");
        let user = User::of(&server);
        let started = user.post("/v1/shell/start", start_body).await;
        assert_eq!(user.end_of(&started).await["status"], "completed");
        Self { server, user, session: started["sessionId"].clone(), _dir: dir }
    }

    pub(super) fn url(&self, rest: &str) -> String {
        let id = self.session.as_str().expect("an id");
        format!("{}/v1/sessions/{id}/files{rest}", self.user.url)
    }

    pub(super) async fn run(&self, line: &str) -> String {
        let command = json!({"sessionId": self.session, "command": line});
        let job = self.user.end_of(&self.user.post("/v1/shell/execute", command).await).await;
        assert_eq!(job["exitCode"], 0, "{line}: {job}");
        job["stdout"]["text"].as_str().expect("text").to_owned()
    }

    pub(super) async fn put(&self, rest: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.user.http.put(self.url(rest)).body(body);
        let answer = request.bearer_auth(&self.user.token).send().await.expect("it answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the answer is whole");
        (status, serde_json::from_str(&text).expect("the answer is JSON"))
    }

    async fn get(&self, rest: &str) -> reqwest::Response {
        let request = self.user.http.get(self.url(rest)).bearer_auth(&self.user.token);
        request.send().await.expect("it answers")
    }

    pub(super) async fn end(self) {
        let stopped = self.user.post("/v1/shell/stop", json!({"sessionId": self.session})).await;
        assert_eq!(self.user.end_of(&stopped).await["status"], "completed");
        self.server.stop().await.expect("the server stops");
    }
}

fn zeros(mib: usize) -> reqwest::Body {
    let piece = Ok::<_, std::convert::Infallible>(vec![0; MIB]);
    reqwest::Body::wrap_stream(stream::repeat(piece).take(mib))
}

pub(super) fn peak_rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("a size");
    kib.parse().expect("a number")
}

pub(super) async fn a_large_file_passes_in_both_directions_without_being_held_in_memory() {
    let place = Place::ready(json!({})).await;
    let before = peak_rss_kib();
    let (status, stored) = place.put("?path=large&mode=640", zeros(500)).await;
    assert_eq!((status, &stored["size"]), (201, &json!(500 * MIB)), "{stored}");
    assert_eq!(place.run("stat -c '%s %a %U' large").await, "524288000 640 shelluser\n");
    let answer = place.get("?path=large").await;
    assert_eq!(answer.headers()["etag"], stored["etag"].as_str().expect("a tag"));
    let mut received = 0;
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.expect("the file is whole");
        assert!(piece.iter().all(|byte| *byte == 0));
        received += piece.len();
    }
    assert_eq!(received, 500 * MIB);
    let grown = peak_rss_kib().saturating_sub(before);
    assert!(grown < 64 << 10, "the server, and this client in its process, took {grown} KiB");
    place.end().await;
}

pub(super) async fn a_full_disk_and_a_lost_client_leave_the_old_file() {
    let place = Place::ready(json!({"size": {"diskMiB": 64}})).await;
    assert_eq!(place.put("?path=file", "old").await.0, 201);
    // Less beyond the disk than what the server still receives before it refuses.
    let (status, problem) = place.put("?path=file", zeros(100)).await;
    assert_eq!((status, &problem["code"]), (507, &json!("shell_disk_full")), "{problem}");
    // A client that goes after half of what it has announced.
    let address = place.user.url.trim_start_matches("http://");
    let mut client = TcpStream::connect(address).await.expect("it listens");
    let path = place.url("?path=file");
    let (path, token) = (path.trim_start_matches(&place.user.url), &place.user.token);
    let request = format!(
        "PUT {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-length: 1000\r\n\r\nhalf"
    );
    client.write_all(request.as_bytes()).await.expect("it reads");
    while !place.run("ls -A").await.contains(".part") {}
    drop(client);
    while place.run("ls -A").await.contains(".part") {}
    assert_eq!(place.run("cat file; ls").await, "oldfile\n");
    place.end().await;
}

pub(super) async fn the_end_of_a_session_ends_its_transfers() {
    let place = Place::ready(json!({})).await;
    let (mut more, pieces) = futures::channel::mpsc::unbounded();
    let body = reqwest::Body::wrap_stream(pieces);
    let piece = || Ok::<_, std::convert::Infallible>(vec![0; 1000]);
    more.start_send(piece()).expect("it is open");
    let upload = place.put("?path=file", body);
    let stop = async {
        while !place.run("ls -A").await.contains(".part") {}
        let body = json!({"sessionId": place.session});
        let stopped = place.user.post("/v1/shell/stop", body).await;
        assert_eq!(place.user.end_of(&stopped).await["status"], "completed");
        // The answer comes once the body has ended.
        drop(more);
    };
    let ((status, problem), ()) = tokio::join!(upload, stop);
    assert_eq!((status, &problem["code"]), (410, &json!("session_ended")), "{problem}");
    place.server.stop().await.expect("the server stops");
}

pub(super) async fn what_the_user_of_a_shell_can_not_read_is_refused() {
    let place = Place::ready(json!({})).await;
    let line = "mkfifo fifo; ln -s /proc/1/environ link; ln -s ../../../../etc/hostname up";
    place.run(line).await;
    for (path, status) in [
        ("/proc/1/environ", 403),
        ("link", 403),
        ("/proc/self/environ", 403),
        ("/proc/self/fd/3", 409),
        ("/proc/1/root/etc/passwd", 403),
        ("/run/ephemeral/runner.sock", 403),
        ("fifo", 409),
        ("/dev/zero", 409),
        ("/", 409),
        ("/no/such", 404),
    ] {
        let answer = place.get(&format!("?path={path}")).await;
        let got = answer.status().as_u16();
        assert_eq!(got, status, "{path}: {}", answer.text().await.expect("text"));
    }
    for path in ["/etc/new", "/usr/bin/new", "/proc/new", "/run/ephemeral/new", "/dev/zero"] {
        let (status, problem) = place.put(&format!("?path={path}"), "x").await;
        assert!(matches!(status, 403 | 404 | 409), "{path}: {problem}");
    }
    place.end().await;
}

pub(super) async fn an_archive_of_tar_is_unpacked_and_packed() {
    let place = Place::ready(json!({})).await;
    let mut archive = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let tar = std::process::Command::new("tar");
    let mut tar = tar;
    tar.args(["-C", env!("CARGO_MANIFEST_DIR"), "-c", "src/server.rs", "Cargo.toml"]);
    archive.write_all(&tar.output().expect("tar is installed").stdout).expect("memory");
    let archive = archive.finish().expect("memory");
    let request = place.user.http.put(place.url("/archive?path=tree")).body(archive);
    let request = request.header("content-encoding", "gzip");
    assert_eq!(place.user.send(request, 200).await, json!({"entries": 2}));
    let listed = place.get("/list?path=tree&depth=2").await.text().await.expect("text");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let paths: Vec<_> = listed["entries"].as_array().expect("a list").iter().collect();
    let paths: Vec<_> = paths.iter().filter_map(|entry| entry["path"].as_str()).collect();
    assert_eq!(paths, ["Cargo.toml", "src", "src/server.rs"]);
    let back = place.get("/archive?path=tree").await.bytes().await.expect("it is whole");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a.tar");
    std::fs::write(&file, back).expect("a file");
    let mut tar = std::process::Command::new("tar");
    let listing = tar.arg("-tf").arg(&file).output().expect("tar is installed").stdout;
    let mut names: Vec<_> =
        String::from_utf8(listing).expect("UTF-8").lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, ["Cargo.toml", "src", "src/server.rs"]);
    place.end().await;
}
