//! Requests for files as jobs.

use std::time::Duration;

use domain::{
    Timestamp,
    file::{
        Attributes, FileAction, FileKind, FilePath, FileRefusal, FileReply, FilesDone, ListedFile,
    },
    message::Message,
    ports::EndCause,
};
use testkit::Script;

use super::*;

const DONE: FilesDone = FilesDone { entries: 1, truncated: false, created: false };

fn ready() -> Api {
    let mut api = Api::new(Fakes::new().with_ready_session("s"));
    api.env.transfers = Some(api.fakes.transfers.clone());
    api
}

fn uri(rest: &str) -> String {
    format!("/v1/sessions/{}{rest}", testkit::session_id("s"))
}

fn found(size: u64) -> FileReply {
    FileReply::Found(Attributes {
        kind: FileKind::File,
        size,
        mode: 0o640,
        modified_at: Timestamp::from_millis(1_767_225_600_000),
        version: "v1".to_owned(),
    })
}

impl Api {
    async fn request(&self, method: &str, rest: &str) -> Answer {
        self.send(&as_ann(Request::builder().method(method).uri(uri(rest))), Body::empty()).await
    }

    /// Accepts a request, lets a shell reply so to it, and asks for the result.
    async fn result_of(
        &self,
        (method, rest): (&str, &str),
        replies: Result<Vec<FileReply>, FileRefusal>,
    ) -> Answer {
        let accepted = self.request(method, rest).await.expect(202);
        assert_eq!(accepted["type"], "files");
        let exit = i32::from(replies.is_err());
        self.fakes.transfers.reply("replies", replies);
        self.fakes.shell.script_by_default(move |_, _| Script::prints("replies").exits(exit));
        self.run().await;
        self.get(accepted["links"]["result"].as_str().unwrap()).await
    }

    async fn run(&self) {
        let session = testkit::session_id("s");
        crate::handle(&self.env, Message::RunJob { session }).await.unwrap();
    }

    async fn uploaded(&self) -> String {
        let upload = self.post(&uri("/files/uploads"), json!({"size": 5})).await.expect(201);
        upload["uploadId"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_file_is_put_to_an_upload_and_written_by_a_job() {
    let api = ready();
    let upload = api.post(&uri("/files/uploads"), json!({"size": 5})).await.expect(201);
    let id = upload["uploadId"].as_str().unwrap();
    let object = format!("{}/{id}", testkit::session_id("s"));
    assert_eq!(upload["url"], format!("https://objects.test/{object}?put5=s3cret"));
    assert_eq!(upload["expiresAt"], "2026-01-01T00:15:00.000Z");
    let path = format!("/files?path=a.txt&mode=0640&upload={id}");
    let replies = vec![FileReply::Ready, found(5), FileReply::Done(DONE)];
    let replaced = api.result_of(("PUT", &path), Ok(replies.clone())).await.expect(200);
    assert_eq!((&replaced["size"], &replaced["mode"]), (&json!(5), &json!("0640")));
    let created = FilesDone { created: true, ..DONE };
    let replies = vec![found(5), FileReply::Done(created)];
    api.result_of(("PUT", &path), Ok(replies)).await.expect(201);
    let archive = format!("/files/archive?path=d&upload={id}");
    let done = FilesDone { entries: 7, ..DONE };
    let unpacked = api.result_of(("PUT", &archive), Ok(vec![FileReply::Done(done)])).await;
    assert_eq!(unpacked.expect(200), json!({"entries": 7}));
}

#[tokio::test]
async fn archives_have_gzip_and_no_other_encoding() {
    let api = ready();
    let put = uri(&format!("/files/archive?path=d&upload={}", api.uploaded().await));
    for (encoding, status) in [("zstd", 415), ("gzip", 202)] {
        let request = as_ann(Request::put(&put).header("content-encoding", encoding));
        let answer = api.send(&request, Body::empty()).await;
        assert_eq!(answer.status.as_u16(), status, "{encoding}");
        let offered = (status == 415).then_some("gzip, identity");
        assert_eq!(answer.header("accept-encoding"), offered);
    }
    let get = Request::get(uri("/files/archive?path=d"));
    let get = get.header("accept-encoding", "zstd, gzip;q=0.1");
    api.send(&as_ann(get), Body::empty()).await.expect(202);
    let jobs = api.fakes.store.all_jobs();
    let commands = jobs.iter().filter_map(|job| job.value.command());
    let actions: Vec<_> =
        commands.filter_map(|command| Some(command.files.as_ref()?.action)).collect();
    assert!(actions.contains(&FileAction::Unpack { gzip: true }), "{actions:?}");
    assert!(actions.contains(&FileAction::Pack { gzip: true }), "{actions:?}");
}

#[tokio::test]
async fn a_download_is_a_redirection_to_a_url_that_is_never_stored() {
    let api = ready();
    let replies = Ok(vec![found(5), FileReply::Done(DONE)]);
    let result = api.result_of(("GET", "/files?path=a.txt"), replies).await;
    let url = result.header("location").unwrap();
    assert!(url.starts_with("https://objects.test/sh_") && url.ends_with("?get=s3cret"), "{url}");
    assert_eq!((result.header("file-mode"), result.header("etag")), (Some("0640"), Some("\"v1\"")));
    assert_eq!(result.header("cache-control"), Some("no-store"));
    assert_eq!(result.status, 303);
    let stored = serde_json::to_string(&api.fakes.store.all_jobs()[0].value).unwrap();
    assert!(!stored.contains("s3cret") && !stored.contains("objects.test"), "{stored}");
    let archive =
        api.result_of(("GET", "/files/archive?path=d"), Ok(vec![FileReply::Done(DONE)])).await;
    assert_eq!((archive.status.as_u16(), archive.header("file-mode")), (303, None));
}

#[tokio::test]
async fn a_list_and_a_removal_have_their_usual_responses() {
    let api = ready();
    let FileReply::Found(attributes) = found(3) else { unreachable!() };
    let entry = ListedFile { path: FilePath(b"a".to_vec()), attributes, target: None };
    let replies = vec![FileReply::Entries(vec![entry]), FileReply::Done(DONE)];
    let list = api.result_of(("GET", "/files/list?path=."), Ok(replies)).await.expect(200);
    assert_eq!((&list["entries"][0]["path"], &list["truncated"]), (&json!("a"), &json!(false)));
    let gone = api.result_of(("DELETE", "/files?path=a"), Ok(vec![FileReply::Done(DONE)])).await;
    gone.expect(204);
}

#[tokio::test]
async fn a_refusal_of_the_shell_is_the_refusal_of_the_result() {
    let api = ready();
    let upload = api.uploaded().await;
    let put = format!("/files?path=a&upload={upload}");
    for (refusal, status, code) in [
        (FileRefusal::NotFound, 404, "path_not_found"),
        (FileRefusal::DiskFull, 507, "shell_disk_full"),
        (FileRefusal::NoUpload, 404, "upload_not_found"),
        (FileRefusal::NotTransferred, 503, "transfer_failed"),
    ] {
        api.result_of(("PUT", &put), Err(refusal)).await.problem(status, code);
    }
}

#[tokio::test]
async fn a_command_that_did_not_end_by_itself_has_moved_nothing() {
    for (cause, status, code) in [
        (EndCause::NotFound("no such program".to_owned()), 501, "files_unavailable"),
        (EndCause::TimedOut, 503, "transfer_failed"),
        (EndCause::Unknown, 503, "transfer_failed"),
    ] {
        let api = ready();
        let accepted = api.request("GET", "/files?path=a").await.expect(202);
        let script = Script::prints("").ends(cause, None);
        api.fakes.shell.script_by_default(move |_, _| script.clone());
        api.run().await;
        let result = api.get(accepted["links"]["result"].as_str().unwrap()).await;
        result.problem(status, code);
    }
}

#[tokio::test]
async fn a_result_is_a_202_until_there_is_one_and_expires_with_the_bytes() {
    let api = ready();
    let accepted = api.request("GET", "/files?path=a").await.expect(202);
    let result = accepted["links"]["result"].as_str().unwrap();
    assert_eq!(api.get(result).await.expect(202)["links"], accepted["links"]);
    api.fakes.transfers.reply("replies", Ok(vec![found(1), FileReply::Done(DONE)]));
    api.fakes.shell.script_by_default(|_, _| Script::prints("replies"));
    api.run().await;
    assert_eq!(api.get(result).await.status, 303);
    api.fakes.clock.advance(Duration::from_hours(24));
    api.get(result).await.problem(410, "transfer_expired");
    api.get(&format!("{result}?wait=1")).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn bytes_are_neither_taken_nor_asked_for_in_the_other_way() {
    let api = ready();
    for path in ["/files?path=a", "/files/archive?path=a"] {
        api.request("PUT", path).await.problem(409, "upload_required");
        let head = Request::head(uri(path));
        let head = router(api.env.clone()).oneshot(as_ann(head).map(|()| Body::empty())).await;
        assert_eq!(head.expect("infallible").status(), 501);
    }
    api.request("PUT", "/files?path=a&upload=up_1").await.problem(400, "invalid_request");
    let too_large = json!({"size": (1_u64 << 30) + 1});
    api.post(&uri("/files/uploads"), too_large).await.problem(400, "invalid_request");
    let upload = api.uploaded().await;
    let direct = Api::new(Fakes::new().with_ready_session("s"));
    direct
        .post(&uri("/files/uploads"), json!({"size": 5}))
        .await
        .problem(501, "uploads_unavailable");
    let named = format!("/files?path=a&upload={upload}");
    direct.request("PUT", &named).await.problem(501, "uploads_unavailable");
}

#[tokio::test]
async fn a_download_of_one_state_of_a_file_is_refused_and_no_job() {
    let api = ready();
    for (name, is_refused) in
        [("if-match", true), ("if-unmodified-since", true), ("if-none-match", false)]
    {
        let request = Request::get(uri("/files?path=a")).header(name, "\"v1\"");
        let answer = api.send(&as_ann(request), Body::empty()).await;
        if is_refused {
            let problem = answer.problem(400, "invalid_request");
            assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("ETag"), "{problem}");
        } else {
            answer.expect(202);
        }
    }
    assert_eq!(api.fakes.store.all_jobs().len(), 2, "one start and one download");
}

#[tokio::test]
async fn a_session_has_files_while_it_is_ready() {
    let mut api = Api::new(Fakes::new().with_starting_session("s"));
    api.env.transfers = Some(api.fakes.transfers.clone());
    api.request("GET", "/files?path=a").await.problem(409, "not_ready");
    api.post(&uri("/files/uploads"), json!({"size": 5})).await.problem(409, "not_ready");
}

#[tokio::test]
async fn no_other_job_has_a_result_and_no_other_user_sees_one() {
    let api = ready();
    let body = json!({"sessionId": testkit::session_id("s"), "command": "true"});
    let job = api.post("/v1/shell/execute", body).await.expect(202);
    assert_eq!(job["links"]["result"], json!(null));
    let result = format!("{}/result", job["links"]["job"].as_str().unwrap());
    api.get(&result).await.problem(404, "not_found");
    let accepted = api.request("GET", "/files?path=a").await.expect(202);
    let of_ann = Request::get(accepted["links"]["result"].as_str().unwrap());
    let seen = api.send(&by(&bob(), of_ann), Body::empty()).await;
    seen.problem(404, "not_found");
}
