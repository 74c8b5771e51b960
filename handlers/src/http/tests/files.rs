use axum::http::request::Builder;
use domain::file::FileRefusal;

use super::*;

mod encodings;

fn ready() -> Api {
    Api::new(Fakes::new().with_ready_session("s"))
}

fn uri(rest: &str) -> String {
    format!("/v1/sessions/{}{rest}", testkit::session_id("s"))
}

impl Api {
    async fn file(&self, method: &str, rest: &str, body: impl Into<Body>) -> Answer {
        self.send(&as_ann(Request::builder().method(method).uri(uri(rest))), body).await
    }

    async fn read(&self, change: impl FnOnce(Builder) -> Builder) -> Answer {
        let request = change(Request::get(uri("/files?path=digits")));
        self.send(&as_ann(request), Body::empty()).await
    }
}

#[tokio::test]
async fn a_file_is_written_read_replaced_and_removed() {
    let api = ready();
    let created = api.file("PUT", "/files?path=notes%2Fa.txt&mode=0600", "first").await;
    let created = created.expect(201);
    assert_eq!(created["size"], 5);
    let read = api.file("GET", "/files?path=notes%2Fa.txt", Body::empty()).await;
    assert_eq!((read.header("etag"), read.header("content-length")), (Some("\"v5\""), Some("5")));
    assert_eq!(created["etag"], "\"v5\"");
    assert_eq!(read.header("file-mode"), Some("0644"));
    assert_eq!(read.expect(200), "first");
    api.file("PUT", "/files?path=notes/a.txt", "second").await.expect(200);
    assert_eq!(api.fakes.files.content("notes/a.txt").unwrap(), b"second");
    let listed = api.file("GET", "/files/list?path=notes", Body::empty()).await.expect(200);
    assert_eq!(listed["entries"][0]["path"], "a.txt");
    assert_eq!(listed["truncated"], false);
    api.file("DELETE", "/files?path=notes/a.txt", Body::empty()).await.expect(204);
    let gone = api.file("GET", "/files?path=notes/a.txt", Body::empty()).await;
    gone.problem(404, "path_not_found");
}

#[tokio::test]
async fn a_head_request_has_the_size_and_no_body() {
    let api = ready();
    api.fakes.files.put("digits", b"0123456789");
    let head = Request::head(uri("/files?path=digits"));
    let response = router(api.env.clone())
        .oneshot(as_ann(head).map(|()| Body::empty()))
        .await
        .expect("infallible");
    assert_eq!(response.headers()["content-length"], "10");
    assert!(to_bytes(response.into_body(), 100).await.unwrap().is_empty());
    // Only GET has ranges.
    let part = as_ann(Request::head(uri("/files?path=digits")).header("range", "bytes=0-3"));
    let part = router(api.env.clone()).oneshot(part.map(|()| Body::empty())).await.unwrap();
    assert_eq!(
        (part.status().as_u16(), &part.headers()["content-length"]),
        (200, &"10".parse().unwrap())
    );
    // The length of an archive is not known before its end.
    let head = as_ann(Request::head(uri("/files/archive?path=digits"))).map(|()| Body::empty());
    let response = router(api.env.clone()).oneshot(head).await.expect("infallible");
    assert_eq!((response.status().as_u16(), response.headers().get("content-length")), (200, None));
    assert!(to_bytes(response.into_body(), 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_range_gives_a_part() {
    let api = ready();
    api.fakes.files.put("digits", b"0123456789");
    let parts = [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=4-", "456789", "bytes 4-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-99999999999999999999", "89", "bytes 8-9/10"),
        ("Bytes=-99", "0123456789", "bytes 0-9/10"),
        ("bytes=9-9", "9", "bytes 9-9/10"),
    ];
    for (range, content, shown) in parts {
        let answer = api.read(|request| request.header("range", range)).await;
        assert_eq!(answer.header("content-range"), Some(shown), "{range}");
        let text = answer.body.as_str().map_or_else(|| answer.body.to_string(), str::to_owned);
        assert_eq!((answer.status.as_u16(), text.as_str()), (206, content), "{range}");
    }
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let answer = api.read(|request| request.header("range", range)).await;
        answer.problem(416, "range_not_satisfiable");
        assert_eq!(answer.header("content-range"), Some("bytes */10"), "{range}");
    }
    for range in ["bytes=3-1", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes"] {
        let answer = api.read(|request| request.header("range", range)).await;
        assert_eq!(answer.status, 200, "{range}");
    }
}

#[tokio::test]
async fn what_a_client_knows_is_not_sent_again() {
    let api = ready();
    api.fakes.files.put("digits", b"0123456789");
    for etag in ["\"v10\"", "W/\"v10\"", "\"other\", \"v10\"", "*"] {
        let answer = api.read(|request| request.header("if-none-match", etag)).await;
        assert_eq!(answer.status, 304, "{etag}");
    }
    let part = |etag| {
        api.read(move |request| request.header("range", "bytes=0-3").header("if-range", etag))
    };
    assert_eq!(part("\"v10\"").await.status, 206);
    assert_eq!(part("\"v9\"").await.status, 200);
    let other = api.read(|request| request.header("if-none-match", "\"v9\"")).await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn a_client_that_wants_another_state_of_the_file_gets_none() {
    let api = ready();
    api.fakes.files.put("digits", b"0123456789");
    let all = api.read(|request| request).await;
    let (modified, day) = (all.header("last-modified").unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
    let after = "Fri, 01 Jan 2100 00:00:00 GMT";
    for (name, value, status) in [
        ("if-match", "\"v10\"", 200),
        ("if-match", "\"v9\", \"v10\"", 200),
        ("if-match", "*", 200),
        ("if-match", "W/\"v10\"", 412),
        ("if-match", "\"v9\"", 412),
        ("if-unmodified-since", modified, 200),
        ("if-unmodified-since", after, 200),
        ("if-unmodified-since", day, 412),
        ("if-modified-since", modified, 304),
        ("if-modified-since", after, 304),
        ("if-modified-since", day, 200),
        ("if-modified-since", "yesterday", 200),
    ] {
        let answer = api.read(|request| request.header(name, value)).await;
        assert_eq!(answer.status, status, "{name}: {value}");
        if status == 412 {
            answer.problem(412, "precondition_failed");
        }
    }
    // An entity tag is more exact than a time.
    let known =
        api.read(|r| r.header("if-none-match", "\"v9\"").header("if-modified-since", after)).await;
    assert_eq!(known.status, 200);
}

#[tokio::test]
async fn a_change_that_depends_on_the_state_of_the_file_is_refused() {
    let api = ready();
    api.fakes.files.put("digits", b"0123456789");
    for method in ["PUT", "DELETE"] {
        for name in ["if-match", "if-none-match", "if-unmodified-since", "content-range"] {
            let request = Request::builder().method(method).uri(uri("/files?path=digits"));
            let answer = api.send(&as_ann(request.header(name, "\"v1\"")), Body::empty()).await;
            answer.problem(400, "invalid_request");
        }
    }
    assert_eq!(api.fakes.files.content("digits").unwrap(), b"0123456789");
}

#[tokio::test]
async fn an_archive_is_sent_in_either_direction() {
    let api = ready();
    let archive = Request::put(uri("/files/archive?path=tree")).header("content-encoding", "gzip");
    api.send(&as_ann(archive), "archive").await.expect(200);
    let back = Request::get(uri("/files/archive?path=tree")).header("accept-encoding", "gzip;q=1");
    let back = api.send(&as_ann(back), Body::empty()).await;
    assert_eq!(back.header("content-encoding"), Some("gzip"));
    assert_eq!(back.expect(200), "archive");
    let plain = api.file("GET", "/files/archive?path=tree", Body::empty()).await;
    assert_eq!(plain.header("content-encoding"), None);
}

#[tokio::test]
async fn a_name_may_have_bytes_that_are_not_utf_8() {
    let api = ready();
    api.file("PUT", "/files?path=d%2Fa%FFb+c%0A", "x").await.expect(201);
    assert_eq!(api.fakes.files.content(b"d/a\xffb c\n").unwrap(), b"x");
    let listed = api.file("GET", "/files/list?path=d", Body::empty()).await.expect(200);
    assert_eq!(listed["entries"][0]["path"], "a\u{fffd}b c\n");
    assert_eq!(listed["entries"][0]["encodedPath"], "a%FFb%20c%0A");
}

#[tokio::test]
async fn every_refusal_of_a_shell_has_a_code() {
    let refusals = [
        (FileRefusal::NotFound, 404, "path_not_found"),
        (FileRefusal::NotAFile, 409, "not_a_file"),
        (FileRefusal::NotADirectory, 409, "not_a_directory"),
        (FileRefusal::PermissionDenied, 403, "permission_denied"),
        (FileRefusal::NotEmpty, 409, "directory_not_empty"),
        (FileRefusal::InvalidPath, 400, "invalid_path"),
        (FileRefusal::DiskFull, 507, "shell_disk_full"),
        (FileRefusal::InvalidArchive, 400, "invalid_archive"),
        (FileRefusal::Failed, 409, "file_error"),
    ];
    for (refusal, status, code) in refusals {
        let api = ready();
        api.fakes.files.refuse("x", refusal);
        for (method, rest) in [
            ("GET", "/files?path=x"),
            ("PUT", "/files?path=x"),
            ("DELETE", "/files?path=x"),
            ("GET", "/files/list?path=x"),
            ("GET", "/files/archive?path=x"),
            ("PUT", "/files/archive?path=x"),
        ] {
            api.file(method, rest, Body::empty()).await.problem(status, code);
        }
    }
}

#[tokio::test]
async fn wrong_queries_are_refused() {
    let api = ready();
    for (method, rest) in [
        ("GET", "/files"),
        ("GET", "/files?path="),
        ("GET", "/files?path=a&path=b"),
        ("GET", "/files?path=a&depth=1"),
        ("PUT", "/files?path=a&mode=888"),
        ("PUT", "/files?path=a&mode=7777"),
        ("PUT", "/files?path=a&mode=rwx"),
        ("DELETE", "/files?path=a&recursive=yes"),
        ("GET", "/files/list?path=a&depth=0"),
        ("GET", "/files/list?path=a&limit=100000"),
        ("PUT", "/files/archive?path=a&mode=0600"),
    ] {
        api.file(method, rest, Body::empty()).await.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_session_has_files_while_it_is_ready() {
    let starting = Api::new(Fakes::new().with_provisioning_session("s"));
    starting.file("PUT", "/files?path=a", "x").await.problem(409, "not_ready");
    let ended = Api::new(Fakes::new().with_ended_session("s"));
    ended.file("GET", "/files?path=a", Body::empty()).await.problem(410, "session_ended");
    let other = ready();
    let request = by(&bob(), Request::get(uri("/files?path=a")));
    other.send(&request, Body::empty()).await.problem(404, "not_found");
    let request = Request::get(uri("/files?path=a")).body(()).unwrap();
    other.send(&request, Body::empty()).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_deployment_without_transfers_says_so() {
    let mut api = ready();
    api.env.files = None;
    for method in ["GET", "PUT", "DELETE"] {
        api.file(method, "/files?path=a", Body::empty()).await.problem(501, "files_unavailable");
    }
}

#[tokio::test]
async fn a_transfer_that_the_shell_ends_is_no_success() {
    let api = ready();
    api.fakes.files.put("digits", b"0123456789");
    api.fakes.files.interrupt();
    api.file("PUT", "/files?path=a", "x").await.problem(503, "unavailable");
    assert_eq!(api.fakes.files.content("a"), None);
    let archive = Request::get(uri("/files/archive?path=digits"));
    let response = router(api.env.clone())
        .oneshot(as_ann(archive).map(|()| Body::empty()))
        .await
        .expect("infallible");
    assert!(to_bytes(response.into_body(), 100).await.is_err(), "a broken archive looked complete");
}

#[tokio::test]
async fn an_upload_has_a_limit() {
    let api = ready();
    let request = Request::put(uri("/files?path=a")).header("content-length", "1073741825");
    api.send(&as_ann(request), Body::empty()).await.problem(413, "payload_too_large");
    let piece = axum::body::Bytes::from(vec![0; 1 << 20]);
    let pieces = futures::stream::repeat(Ok::<_, std::convert::Infallible>(piece));
    let endless = Body::from_stream(pieces);
    api.file("PUT", "/files?path=a", endless).await.problem(413, "payload_too_large");
    assert_eq!(api.fakes.files.content("a"), None);
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let api = ready();
    api.fakes.files.put("a", b"old");
    let pieces = [Ok(axum::body::Bytes::from("half")), Err(std::io::Error::other("reset"))];
    let broken = Body::from_stream(futures::stream::iter(pieces));
    api.file("PUT", "/files?path=a", broken).await.problem(400, "invalid_request");
    assert_eq!(api.fakes.files.content("a").unwrap(), b"old");
}

#[tokio::test]
async fn a_transfer_counts_as_a_use_of_its_session() {
    let idle = std::time::Duration::from_mins(1);
    let fakes = Fakes::new().with_spec(|spec| spec.idle_timeout = Some(idle));
    let api = Api::new(fakes.with_ready_session("s"));
    let idle_at = async || {
        let read = api.env.store.session(testkit::session_id("s")).await.unwrap().unwrap();
        let domain::session::Session::Ready(ready) = read.value else { panic!("not ready") };
        ready.idle_at().unwrap()
    };
    api.fakes.clock.advance(std::time::Duration::from_secs(50));
    api.file("PUT", "/files?path=a", "x").await.expect(201);
    assert_eq!(idle_at().await, api.now() + idle);
}
