//! Checks for which host a request is.
//!
//! A page in a browser can let a name of its own resolve to this machine and so reach a server on
//! loopback (DNS rebinding); its requests carry that name in `Host`.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{StatusCode, Version, header::HOST, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Passes a request on if it names one host and, on loopback, this machine; else answers 400 or 421.
pub(super) async fn check(
    State(on_loopback): State<bool>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(&request, on_loopback) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    }
}

type Refusal = (StatusCode, &'static str);

const INVALID: Refusal =
    (StatusCode::BAD_REQUEST, "send one Host header with a host and its port\n");
const MISDIRECTED: Refusal = (
    StatusCode::MISDIRECTED_REQUEST,
    "this server listens on loopback only; send an address or localhost as the Host\n",
);

fn refusal<B>(request: &axum::http::Request<B>, on_loopback: bool) -> Option<Refusal> {
    let mut given = request.headers().get_all(HOST).iter();
    let host = match (given.next(), given.next()) {
        (None, _) if request.version() < Version::HTTP_11 => None,
        (Some(value), None) => match value.to_str().ok().and_then(authority) {
            Some(host) => Some(host),
            None => return Some(INVALID),
        },
        _ => return Some(INVALID),
    };
    let is_local = |host: &Authority| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    };
    // The request line may name a host as well.
    let mut hosts = host.iter().chain(request.uri().authority());
    (on_loopback && !hosts.all(is_local)).then_some(MISDIRECTED)
}

/// The host and port of a `Host` header (RFC 9110, 7.2).
fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.strip_suffix(':').unwrap_or(text).parse().ok()?;
    let host = authority.host();
    let has_valid_port = host.len() == authority.as_str().len() || authority.port_u16().is_some();
    (!host.is_empty() && !text.contains('@') && has_valid_port).then_some(authority)
}

#[cfg(test)]
mod tests {
    use axum::http;

    use super::*;

    fn status(uri: &str, hosts: &[&str], version: Version, on_loopback: bool) -> u16 {
        let mut request = http::Request::get(uri).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let refusal = refusal(&request.body(()).unwrap(), on_loopback);
        refusal.map_or(200, |(status, _)| status.as_u16())
    }

    #[test]
    fn a_request_must_name_one_host() {
        let table: [(&[&str], u16); 11] = [
            (&["example.com"], 200),
            (&["example.com:8787"], 200),
            (&["example.com:"], 200),
            (&["[2001:db8::1]:8787"], 200),
            (&[], 400),
            (&[""], 400),
            (&["localhost", "localhost"], 400),
            (&["example.com:port"], 400),
            (&["example.com:99999"], 400),
            (&["user@example.com"], 400),
            (&["exa mple.com"], 400),
        ];
        for (hosts, expected) in table {
            assert_eq!(status("/", hosts, Version::HTTP_11, false), expected, "{hosts:?}");
        }
        assert_eq!(status("/", &[], Version::HTTP_10, false), 200);
        assert_eq!(status("/", &[], Version::HTTP_10, true), 200);
        assert_eq!(status("/", &["a", "b"], Version::HTTP_10, false), 400);
    }

    #[test]
    fn on_loopback_a_request_must_name_an_address_or_localhost() {
        let table = [
            ("localhost", 200),
            ("LOCALHOST:8787", 200),
            ("127.0.0.1:8787", 200),
            ("[::1]", 200),
            ("[::1]:8787", 200),
            ("192.0.2.1", 200),
            ("example.com", 421),
            ("localhost.example.com:8787", 421),
            ("127.0.0.1.example.com", 421),
            ("notlocalhost", 421),
        ];
        for (host, expected) in table {
            assert_eq!(status("/", &[host], Version::HTTP_11, true), expected, "{host}");
            assert_eq!(status("/", &[host], Version::HTTP_10, true), expected, "{host}");
            let uri = format!("http://{host}/");
            assert_eq!(status(&uri, &["localhost"], Version::HTTP_11, true), expected, "{uri}");
        }
    }
}
