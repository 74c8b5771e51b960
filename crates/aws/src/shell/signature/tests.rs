use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;

use super::*;

const URL: &str = "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/ecs-execute-command-0a1b?role=publish_subscribe&cell-number=AAEAAb";

fn signer() -> Signer {
    let credentials =
        Credentials::new("AKIDEXAMPLE", "secret-key", Some("session-token".into()), None, "test");
    let config = SdkConfig::builder()
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    Signer::new(&config)
}

#[tokio::test]
async fn the_upgrade_is_signed_for_ssmmessages() {
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let headers = signer().headers_at(URL, now).await.unwrap();
    let value = |name: &str| headers.iter().find(|(of, _)| of == name).unwrap().1.as_str();
    assert_eq!(value("x-amz-date"), "20231114T221320Z");
    assert_eq!(value("x-amz-security-token"), "session-token");
    // Computed separately by the steps of AWS's documentation of Signature Version 4.
    assert_eq!(
        value("authorization"),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20231114/eu-west-1/ssmmessages/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-security-token, \
         Signature=41cbafe560a2cb744eccd9c7074507b0df973d6d2e2c24fe71ece3468d3d0f12"
    );
}

#[tokio::test]
async fn a_presigned_url_and_one_without_tls_are_not_signed() {
    let presigned = format!("{URL}&X-Amz-Signature=abc");
    for url in [presigned.as_str(), "ws://127.0.0.1:1/v1/data-channel/s"] {
        assert!(signer().headers(url).await.unwrap().is_empty(), "{url}");
    }
}

#[tokio::test]
async fn missing_credentials_are_an_error_and_debug_shows_no_secret() {
    let none = Signer::new(&SdkConfig::builder().build());
    assert!(none.headers(URL).await.is_err());
    assert!(!format!("{:?}", signer()).contains("secret-key"));
}
