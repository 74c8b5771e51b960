//! Connecting: TCP, TLS and the WebSocket upgrade.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self,
        client::IntoClientRequest,
        handshake::client::Request,
        http::{HeaderName, HeaderValue, Uri},
    },
};

use super::{OpenError, backend};
use crate::{
    close_reason::BoxError,
    driver::{Io, Socket, socket_config},
};

/// Builds the upgrade request. Like AWS's client, it has neither a subprotocol nor an origin.
pub(super) fn request(url: &str, headers: &[(String, String)]) -> Result<Request, OpenError> {
    let mut request = url.into_client_request().map_err(invalid)?;
    if !matches!(request.uri().scheme_str(), Some("ws" | "wss")) {
        return Err(invalid("scheme is neither ws nor wss"));
    }
    for (name, value) in headers {
        let name: HeaderName = name.parse().map_err(|_| invalid("header name is invalid"))?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| invalid("header value is invalid"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// A client's WebSocket.
pub type WebSocket = WebSocketStream<Box<dyn Io>>;

/// Opens a WebSocket as a channel's client does, for another protocol than that of data channels.
pub async fn upgrade(url: &str, headers: &[(String, String)]) -> Result<WebSocket, OpenError> {
    connect(request(url, headers)?, None).await
}

pub(super) async fn connect(
    request: Request,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Socket, OpenError> {
    let stream = stream(request.uri(), tls).await?;
    let upgraded = client_async_with_config(request, stream, Some(socket_config())).await;
    match upgraded {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(OpenError::Refused(answer.status().as_u16())),
        Err(error) => Err(backend(error)),
    }
}

async fn stream(uri: &Uri, tls: Option<Arc<ClientConfig>>) -> Result<Box<dyn Io>, OpenError> {
    let host = uri.host().ok_or_else(|| invalid("stream URL has no host"))?;
    // An IPv6 address has brackets in a URL but not in a socket address.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let secure = uri.scheme_str() == Some("wss");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(backend)?;
    stream.set_nodelay(true).map_err(backend)?;
    if !secure {
        return Ok(Box::new(stream));
    }
    let config = match tls {
        Some(config) => config,
        None => host_config().await?,
    };
    let name = ServerName::try_from(host.to_owned()).map_err(invalid)?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(backend)?;
    Ok(Box::new(stream))
}

/// A TLS configuration that trusts the certificates of this host, which are read once.
async fn host_config() -> Result<Arc<ClientConfig>, OpenError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let config = tokio::task::spawn_blocking(load_config).await.map_err(backend)??;
    Ok(CONFIG.get_or_init(|| config).clone())
}

fn load_config() -> Result<Arc<ClientConfig>, OpenError> {
    let mut found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let error = found.errors.pop().map(BoxError::from);
        return Err(backend(error.unwrap_or_else(|| {
            "this host has no trusted certificates; install the package ca-certificates".into()
        })));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(backend)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn invalid(error: impl Into<BoxError>) -> OpenError {
    OpenError::InvalidRequest(error.into())
}
