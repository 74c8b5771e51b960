//! The files of the console, as built into this program.

use axum::{
    Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};

/// The URL path and the contents of each file in `web/dist`.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/console_files.rs"));

/// The page may use files and the API of its own origin, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const TEXT: &str = "text/plain; charset=utf-8";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds a route for each file.
pub(super) fn mount(router: Router) -> Router {
    FILES.iter().fold(router, |router, (path, contents)| {
        let response = ([(header::CONTENT_TYPE, kind(path))], *contents);
        let headers = [(header::CACHE_CONTROL, cache_control(path))];
        router.route(path, get(async move || (HEADERS, headers, response).into_response()))
    })
}

/// The name of a part of the page contains a hash of its contents, so it never changes.
fn cache_control(path: &str) -> &'static str {
    let has_hash = path.starts_with("/assets/") && kind(path) != TEXT;
    if !has_hash { "no-cache" } else { "public, max-age=31536000, immutable" }
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "json")) => "application/json",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        Some((_, "txt")) => TEXT,
        _ => "text/html; charset=utf-8",
    }
}
