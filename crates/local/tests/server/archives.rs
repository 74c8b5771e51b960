//! Archives that the server compresses and decompresses, with real shells.

use std::{path::Path, process::Stdio};

use super::{
    files::{Place, peak_rss_kib},
    *,
};

/// What tar(1) makes of a file, compressed.
fn compressed_tar(dir: &Path, name: &str) -> Vec<u8> {
    let mut tar = std::process::Command::new("tar");
    tar.arg("-C").arg(dir).args(["-c", name]).stdout(Stdio::piped());
    let mut tar = tar.spawn().expect("tar is installed");
    let mut archive = Vec::new();
    let output = tar.stdout.take().expect("a pipe");
    zstd::stream::copy_encode(output, &mut archive, 1).expect("tar can be read");
    assert!(tar.wait().expect("tar ends").success());
    archive
}

/// Bytes that can't be compressed.
fn noise(length: usize) -> Vec<u8> {
    use std::io::Read as _;
    let random = std::fs::File::open("/dev/urandom").expect("the kernel has it");
    let mut bytes = Vec::new();
    random.take(length as u64).read_to_end(&mut bytes).expect("it has no end");
    bytes
}

/// The present memory of this process, above which its peak is counted from now on (proc_pid_clear_refs(5)).
fn rss_kib() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").expect("procfs");
    peak_rss_kib()
}

impl Place {
    async fn unpack(&self, archive: Vec<u8>) -> (u16, Value) {
        let request = self.user.http.put(self.url("/archive?path=tree")).body(archive);
        let request = request.header("content-encoding", "zstd").bearer_auth(&self.user.token);
        let answer = request.send().await.expect("it answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the answer is whole");
        (status, serde_json::from_str(&text).expect("the answer is JSON"))
    }
}

pub(super) async fn an_archive_by_zstd_passes_in_both_directions() {
    let (place, dir) = (Place::ready(json!({})).await, tempfile::tempdir().expect("a directory"));
    let content = noise(64 << 20);
    std::fs::write(dir.path().join("noise"), &content).expect("a file");
    let archive = compressed_tar(dir.path(), "noise");
    let before = rss_kib();
    let (status, answer) = place.unpack(archive).await;
    assert_eq!((status, &answer), (200, &json!({"entries": 1})));
    let request = place.user.http.get(place.url("/archive?path=tree"));
    let request = request.header("accept-encoding", "gzip;q=0.9, zstd");
    let mut answer = request.bearer_auth(&place.user.token).send().await.expect("it answers");
    assert_eq!(answer.headers()["content-encoding"], "zstd");
    assert_eq!(answer.headers()["vary"], "Accept-Encoding");
    let file = dir.path().join("a.tar.zst");
    let mut packed = std::fs::File::create(&file).expect("a file");
    while let Some(piece) = answer.chunk().await.expect("the archive is whole") {
        std::io::Write::write_all(&mut packed, &piece).expect("a disk with room");
    }
    let grown = peak_rss_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "the server, and this client in its process, took {grown} KiB");
    let packed = std::fs::File::open(&file).expect("a file");
    let tar = zstd::decode_all(packed).expect("it is zstd");
    assert!(tar[512..].starts_with(&content), "the file is another one");
    place.end().await;
}

pub(super) async fn an_archive_by_zstd_that_is_cut_leaves_the_old_file() {
    let (place, dir) = (Place::ready(json!({})).await, tempfile::tempdir().expect("a directory"));
    assert_eq!(place.put("?path=tree/file", "old").await.0, 201);
    std::fs::write(dir.path().join("file"), noise(1 << 20)).expect("a file");
    let archive = compressed_tar(dir.path(), "file");
    for bytes in [&archive[..archive.len() / 2], &archive[1..], b"", b"no zstd"] {
        let (status, problem) = place.unpack(bytes.to_vec()).await;
        assert_eq!((status, &problem["code"]), (400, &json!("invalid_archive")), "{problem}");
        // The process in the shell learns of it after the client.
        while place.run("ls -A tree").await != "file\n" {}
        assert_eq!(place.run("cat tree/file").await, "old");
    }
    assert_eq!(place.unpack(archive).await.0, 200);
    assert_eq!(place.run("stat -c %s tree/file").await, "1048576\n");
    place.end().await;
}

pub(super) async fn what_zstd_makes_small_fills_the_disk_of_the_shell_but_no_memory() {
    let place = Place::ready(json!({"size": {"diskMiB": 64}})).await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(dir.path().join("file")).expect("a file");
    file.set_len(1 << 30).expect("it is sparse");
    let archive = compressed_tar(dir.path(), "file");
    assert!(archive.len() < 1 << 20, "{} bytes", archive.len());
    let before = rss_kib();
    let (status, problem) = place.unpack(archive).await;
    assert_eq!((status, &problem["code"]), (507, &json!("shell_disk_full")), "{problem}");
    let grown = peak_rss_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "the server took {grown} KiB");
    assert_eq!(place.run("ls -A tree").await, "");
    place.end().await;
}
