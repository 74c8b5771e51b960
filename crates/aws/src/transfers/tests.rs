use aws_credential_types::Credentials;
use domain::file::FilePath;

use super::*;

/// The key, date and bucket of the example in
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>.
fn transfers() -> S3Transfers {
    let credentials = Credentials::new(
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        None,
        None,
        "test",
    );
    let config = SdkConfig::builder()
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    S3Transfers::new(&config, "https://examplebucket.s3.amazonaws.com".to_owned())
}

fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600)
}

#[tokio::test]
async fn a_url_is_signed_for_one_object_and_expires_after_15_minutes() {
    let given = transfers().presign("GET", "sh_1/job_1", None, at()).await.unwrap();
    let url = given.url.expose();
    let (place, query) = url.split_once('?').unwrap();
    assert_eq!(place, "https://examplebucket.s3.amazonaws.com/files/sh_1/job_1");
    for part in [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request",
        "X-Amz-Date=20130524T000000Z",
        "X-Amz-Expires=900",
        "X-Amz-SignedHeaders=host",
    ] {
        assert!(query.split('&').any(|pair| pair == part), "{part} in {query}");
    }
    assert_eq!(given.expires_at, Timestamp::from_millis(1_369_353_600_000 + 900_000));
    assert!(!format!("{given:?}").contains("X-Amz"), "{given:?}");
}

#[tokio::test]
async fn an_upload_is_signed_with_its_length() {
    let signed = async |bytes| {
        let given = transfers().presign("PUT", "sh_1/up_1", Some(bytes), at()).await.unwrap();
        given.url.into_inner()
    };
    let url = signed(5).await;
    assert!(url.contains("X-Amz-SignedHeaders=content-length%3Bhost"), "{url}");
    assert_ne!(url, signed(6).await);
}

#[tokio::test]
async fn a_shell_gets_the_order_on_its_standard_input() {
    let job = FileJob {
        path: FilePath(b"notes.txt".to_vec()),
        action: FileAction::Write { mode: Some(0o600) },
        upload: None,
    };
    let command = testkit::command("files");
    let command = transfers().command(&command, &job, "sh_1/up_1").await.unwrap();
    assert_eq!(command.program.expose(), &Program::Argv(vec![PROGRAM.to_owned()]));
    let order: Order = serde_json::from_slice(command.stdin.expose()).unwrap();
    assert_eq!(order.path.0, b"notes.txt");
    assert!(order.url.unwrap().starts_with("https://examplebucket.s3.amazonaws.com/files/sh_1/up"));
    let list = FileJob { action: FileAction::List { depth: 1, limit: 1 }, ..job };
    let command = transfers().command(&command, &list, "sh_1/job_1").await.unwrap();
    let order: Order = serde_json::from_slice(command.stdin.expose()).unwrap();
    assert_eq!(order.url, None);
}
