use super::*;

fn everywhere() -> Matcher {
    Matcher::builder().all("http://proxy.example:3128").no("10.0.0.0/8, inside.example").build()
}

#[test]
fn loopback_is_never_contacted_through_a_proxy() {
    for host in [
        "127.0.0.1:8787",
        "127.8.9.1",
        "127.1",
        "localhost:8787",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "[::1]:8787",
        "[::ffff:127.0.0.1]",
        "0.0.0.0:8787",
        "[::]:8787",
    ] {
        for scheme in ["http", "https"] {
            assert_eq!(
                route(&format!("{scheme}://{host}"), &everywhere()),
                Route::Direct,
                "{host}"
            );
        }
    }
}

#[test]
fn only_https_uses_the_proxy_of_the_environment() {
    for host in ["ephemeral.example", "192.0.2.1:8787", "[2001:db8::1]", "localhost.example"] {
        let (https, http) = (format!("https://{host}"), format!("http://{host}"));
        assert_eq!(route(&https, &everywhere()), Route::Environment, "{host}");
        assert_eq!(route(&http, &everywhere()), Route::DirectDespiteProxy, "{host}");
        assert_eq!(route(&http, &Matcher::builder().build()), Route::Direct, "{host}");
    }
}

#[test]
fn a_host_of_no_proxy_is_contacted_directly_without_a_warning() {
    for host in ["10.1.2.3:8787", "inside.example", "a.inside.example"] {
        assert_eq!(route(&format!("http://{host}"), &everywhere()), Route::Direct, "{host}");
    }
}
