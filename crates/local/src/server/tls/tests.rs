use std::{fs, path::PathBuf};

use super::acceptor;
use crate::{config::Tls, server::StartError};

/// A self-signed certificate for 127.0.0.1, and its key.
fn files() -> (tempfile::TempDir, Tls) {
    let dir = tempfile::tempdir().unwrap();
    let generated = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let files = Tls { certificates: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    fs::write(&files.certificates, generated.cert.pem()).unwrap();
    fs::write(&files.key, generated.signing_key.serialize_pem()).unwrap();
    (dir, files)
}

#[test]
fn a_certificate_that_is_none_is_refused() {
    let (_dir, files) = files();
    let none = Tls { certificates: PathBuf::from("/dev/null"), ..files.clone() };
    let mixed_up = Tls { certificates: files.key.clone(), key: files.certificates.clone() };
    let missing = Tls { key: PathBuf::from("/nonexistent"), ..files };
    for files in [none, mixed_up, missing] {
        assert!(matches!(acceptor(&files), Err(StartError::Tls(..))), "{files:?}");
    }
}
