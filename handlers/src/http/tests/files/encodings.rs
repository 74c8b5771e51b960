use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    UserId,
    file::FileReply,
    ports::{FileTransfer, FilesError, Zstd},
};

use super::*;

/// Where zstd is, this changes every byte, in either direction.
struct Flip;

struct Flipped(Box<dyn FileTransfer>);

impl Zstd for Flip {
    fn compress(
        &self,
        _: &UserId,
        transfer: Box<dyn FileTransfer>,
    ) -> Result<Box<dyn FileTransfer>, FilesError> {
        Ok(Box::new(Flipped(transfer)))
    }

    fn decompress(
        &self,
        _: &UserId,
        transfer: Box<dyn FileTransfer>,
    ) -> Result<Box<dyn FileTransfer>, FilesError> {
        Ok(Box::new(Flipped(transfer)))
    }
}

#[async_trait]
impl FileTransfer for Flipped {
    async fn next(&mut self) -> Result<FileReply, FilesError> {
        let reply = self.0.next().await?;
        let FileReply::Piece(piece) = reply else { return Ok(reply) };
        Ok(FileReply::Piece(flip(&piece)))
    }

    async fn ask(&mut self, offset: u64, length: u64) -> Result<(), FilesError> {
        self.0.ask(offset, length).await
    }

    async fn send(&mut self, piece: &[u8]) -> Result<(), FilesError> {
        self.0.send(&flip(piece)).await
    }

    async fn finish(&mut self) -> Result<(), FilesError> {
        self.0.finish().await
    }
}

fn flip(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

fn with_zstd() -> Api {
    let mut api = ready();
    api.env.zstd = Some(Arc::new(Flip));
    api
}

impl Api {
    async fn pack(&self, accepted: &[&str]) -> Answer {
        let request = Request::get(uri("/files/archive?path=tree"));
        let request = accepted
            .iter()
            .fold(request, |request, value| request.header("accept-encoding", *value));
        self.send(&as_ann(request), Body::empty()).await
    }
}

#[tokio::test]
async fn an_archive_has_the_encoding_that_the_request_prefers() {
    let (without, with) = (ready(), with_zstd());
    for api in [&without, &with] {
        api.fakes.files.put("tree", b"archive");
    }
    for (accepted, expected_without, expected) in [
        (&[][..], None, None),
        (&[""], None, None),
        (&["*"], None, None),
        (&["identity"], None, None),
        (&["br"], None, None),
        (&["gzip"], Some("gzip"), Some("gzip")),
        (&["GZIP ; q=1.000"], Some("gzip"), Some("gzip")),
        (&["zstd"], None, Some("zstd")),
        (&["gzip, zstd"], Some("gzip"), Some("zstd")),
        (&["gzip", "zstd"], Some("gzip"), Some("zstd")),
        (&["zstd;q=0.5, gzip;q=0.501"], Some("gzip"), Some("gzip")),
        (&["zstd;q=0.5, gzip;q=0.4"], Some("gzip"), Some("zstd")),
        (&["zstd;q=0, gzip;q=0.001"], Some("gzip"), Some("gzip")),
        (&["zstd;q=0.9, gzip;q=0.9, identity"], None, None),
        (&["zstd;q=0, gzip;q=0"], None, None),
        (&["zstd;q=2, gzip;q=x, br"], None, None),
        (&["*;q=0.5, identity;q=0"], Some("gzip"), Some("zstd")),
        (&["zstd;q=0, *, identity;q=0"], Some("gzip"), Some("gzip")),
        (&["*;q=0"], None, None),
    ] {
        for (api, expected) in [(&without, expected_without), (&with, expected)] {
            let back = api.pack(accepted).await;
            assert_eq!(back.header("content-encoding"), expected, "{accepted:?}");
            assert_eq!(back.header("vary"), Some("Accept-Encoding"));
        }
    }
}

#[tokio::test]
async fn zstd_is_undone_and_done_between_client_and_shell() {
    let api = with_zstd();
    let sent = String::from_utf8(vec![b'a'; 3]).unwrap();
    let request = Request::put(uri("/files/archive?path=tree")).header("content-encoding", "Zstd");
    api.send(&as_ann(request), sent.clone()).await.expect(200);
    assert_eq!(api.fakes.files.content("tree").unwrap(), flip(sent.as_bytes()));
    assert_eq!(api.pack(&["zstd"]).await.expect(200), sent);
}

#[tokio::test]
async fn encodings_that_are_not_known_are_refused() {
    let (without, with) = (ready(), with_zstd());
    let gzip = "gzip, identity";
    let both = "zstd, gzip, identity";
    for (api, encoding, offered) in [
        (&without, "br", gzip),
        (&without, "zstd", gzip),
        (&with, "br", both),
        (&with, "gzip, zstd", both),
        (&with, "gzip;q=1", both),
        (&with, "", both),
    ] {
        let request = Request::put(uri("/files/archive?path=a"));
        let request = request.header("content-encoding", encoding);
        let answer = api.send(&as_ann(request), "bytes").await;
        assert_eq!(answer.header("accept-encoding"), Some(offered), "{encoding}");
        answer.problem(415, "unsupported_media_type");
        assert_eq!(api.fakes.files.content("a"), None);
    }
    let file = Request::put(uri("/files?path=a")).header("content-encoding", "gzip");
    with.send(&as_ann(file), "bytes").await.problem(415, "unsupported_media_type");
}
