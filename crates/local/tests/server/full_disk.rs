//! A server whose data directory is on a disk that fills up.

use std::{fs::File, io::Write, path::Path};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::*;

/// A small file system in memory, which is unmounted at the end.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> rustix::io::Result<Self> {
        mount("tmpfs", at, "tmpfs", MountFlags::empty(), Some(c"size=64m,mode=0700"))?;
        Ok(Self(at))
    }

    fn enlarge(&self) {
        mount_remount(self.0, MountFlags::empty(), "size=256m").expect("a tmpfs can grow");
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _busy = unmount(self.0, UnmountFlags::DETACH);
    }
}

/// Fills the disk to the last block.
fn fill(dir: &Path) {
    let mut file = File::create(dir.join("filler")).expect("there is room for a file");
    let block = [b'x'; 4096];
    while file.write_all(&block).is_ok() {}
}

impl User {
    /// The status of a POST, and the code of its problem.
    async fn try_post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.expect("the server answers");
        let status = answer.status().as_u16();
        let body = answer.text().await.expect("the answer is whole");
        (status, serde_json::from_str(&body).expect("the answer is JSON"))
    }
}

pub(super) async fn on_a_full_disk_shells_are_stopped_and_end_at_their_time_to_live() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let disk = match SmallDisk::mount(dir.path()) {
        Ok(disk) => disk,
        Err(error) => {
            println!("SKIPPED: a small disk can't be mounted: {error}");
            return;
        }
    };
    let server = start(dir.path()).await.expect("the server starts");
    let user = User::of(&server);
    let stopped_by_hand = user.post("/v1/shell/start", json!({})).await;
    let expiring = user.post("/v1/shell/start", json!({"ttlSeconds": 60})).await;
    for started in [&stopped_by_hand, &expiring] {
        assert_eq!(user.end_of(started).await["status"], "completed");
    }
    let session = &stopped_by_hand["sessionId"];
    let sleep = json!({"sessionId": session, "command": "sleep 600", "concurrency": "parallel"});
    let sleeping = user.post("/v1/shell/execute", sleep).await;

    let refused = store_until_refused(&user, session).await;
    assert_eq!(refused["code"], "insufficient_storage", "{refused}");
    let (status, refused) = user.try_post("/v1/shell/start", &json!({})).await;
    assert_eq!((status, &refused["code"]), (507, &json!("insufficient_storage")));

    fill(dir.path());
    let job = sleeping["jobId"].as_str().expect("a job has an id");
    end_by(&user, &format!("/v1/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(user.end_of(&sleeping).await["status"], "cancelled");
    let stop = end_by(&user, "/v1/shell/stop", &json!({"sessionId": session})).await;
    assert_eq!(user.end_of(&stop).await["status"], "completed");
    let path = format!("/v1/sessions/{}", expiring["sessionId"].as_str().expect("an id"));
    let ended = async {
        loop {
            let session = user.get(&path).await;
            if session["status"] == "stopped" {
                return session;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(90), ended).await;
    let ended = ended.expect("the session ends although the disk is full");
    assert_eq!(ended["reason"], "ttl_expired", "{ended}");

    std::fs::remove_file(dir.path().join("filler")).expect("the filler is there");
    disk.enlarge();
    let started = user.post("/v1/shell/start", json!({"command": "echo again"})).await;
    let job = user.end_of(&json!({"jobId": started["commandJobId"]})).await;
    assert_eq!(job["stdout"]["text"], "again\n", "{job}");
    // Shells go on when a server ends.
    let stop = user.post("/v1/shell/stop", json!({"sessionId": started["sessionId"]})).await;
    assert_eq!(user.end_of(&stop).await["status"], "completed");
    server.stop().await.expect("the server stops");
}

/// Runs commands with much output until one is refused; returns the problem.
async fn store_until_refused(user: &User, session: &Value) -> Value {
    let command = json!({
        "sessionId": session, "command": "head -c 8000000 /dev/urandom", "maxOutputBytes": 8_000_000,
        "concurrency": "parallel",
    });
    for _ in 0..30 {
        let (status, answer) = user.try_post("/v1/shell/execute", &command).await;
        if status != 202 {
            assert_eq!(status, 507, "{answer}");
            return answer;
        }
        let job = user.end_of(&answer).await;
        assert_eq!(job["status"], "completed", "{job}");
    }
    panic!("30 commands with 8 MB of output fit on a disk of 64 MiB");
}

/// Repeats a request until it is accepted: the first write on a full disk may fail.
async fn end_by(user: &User, path: &str, body: &Value) -> Value {
    for _ in 0..20 {
        let (status, answer) = user.try_post(path, body).await;
        if status == 202 {
            return answer;
        }
        assert_eq!(status, 503, "{answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} is not accepted although there is a reserve");
}
