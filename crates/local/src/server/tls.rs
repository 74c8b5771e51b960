//! The certificate of https connections.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use super::StartError;
use crate::config::Tls;

/// Loads the certificate and its key.
pub(super) fn acceptor(files: &Tls) -> Result<TlsAcceptor, StartError> {
    let config = server_config(files).map_err(|error| StartError::Tls(files.clone(), error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn server_config(files: &Tls) -> Result<ServerConfig, domain::ports::BoxError> {
    let chain =
        CertificateDer::pem_file_iter(&files.certificates)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&files.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests;
