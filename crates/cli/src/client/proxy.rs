//! Whether requests may go through the proxy that the environment names (`HTTP_PROXY`, `HTTPS_PROXY`,
//! `ALL_PROXY`, `NO_PROXY`).

use std::net::IpAddr;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// How the requests to a server are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// Through the proxy that the environment names for the server, if there is one.
    Environment,
    Direct,
    /// Direct, although the environment names a proxy for the server.
    DirectDespiteProxy,
}

/// The route to the server at `url`.
///
/// A proxy can't reach a server on the loopback interface of this machine. The proxy of a plain http
/// URL would receive our token unencrypted; for https it only passes on encrypted bytes.
pub(super) fn route(url: &str, proxies: &Matcher) -> Route {
    let Ok(parsed) = Url::parse(url) else { return Route::Direct };
    if is_loopback(&parsed) {
        Route::Direct
    } else if parsed.scheme() == "https" {
        Route::Environment
    } else if url.parse().is_ok_and(|uri| proxies.intercept(&uri).is_some()) {
        Route::DirectDespiteProxy
    } else {
        Route::Direct
    }
}

/// Whether the URL names this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(address) => {
            let address = address.to_canonical();
            // A connection to the unspecified address is one to this machine.
            address.is_loopback() || address.is_unspecified()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests;
