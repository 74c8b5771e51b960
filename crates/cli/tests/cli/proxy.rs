//! The proxy variables of the environment.

use serde_json::json;

use crate::scripted_server::ScriptedServer;

const VARIABLES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

#[test]
fn a_server_on_loopback_is_not_contacted_through_a_proxy() {
    let server = ScriptedServer::new([("GET /v1/sessions", 200, json!({"data": []}))]);
    let proxy = ScriptedServer::new([]);
    for variable in VARIABLES {
        let ls =
            server.command(&["ls", "--json"]).env(variable, proxy.url()).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&ls.stderr);
        assert_eq!((ls.status.code(), stderr.as_ref()), (Some(0), ""), "{variable}");
    }
    assert_eq!((server.count(), proxy.count()), (VARIABLES.len(), 0));
}

#[test]
fn a_proxy_does_not_receive_the_token_of_a_plain_http_url() {
    let proxy = ScriptedServer::new([]);
    // A connection to the broadcast address fails at once.
    let url = "http://255.255.255.255:9";
    for variable in VARIABLES {
        let ls = proxy
            .command(&["ls"])
            .env("EPHEMERAL_URL", url)
            .env(variable, proxy.url())
            .output()
            .expect("it runs");
        let stderr = String::from_utf8_lossy(&ls.stderr);

        assert_eq!(ls.status.code(), Some(5), "{variable}: {stderr}");
        let warning = format!("warning: not using the proxy of the environment for {url}: ");
        assert!(stderr.starts_with(&warning), "{variable}: {stderr}");
        assert!(stderr.contains("unencrypted; use https"), "{variable}: {stderr}");
    }
    assert_eq!(proxy.count(), 0);
}
