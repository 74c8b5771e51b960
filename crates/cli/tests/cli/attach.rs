//! `attach` with a real server, a real shell and a real terminal, where this host supports them.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    cuttable_proxy::CuttableProxy, pseudo_terminal::OnTerminal,
    real::terminated_behind_a_full_pipe, server::Server,
};

/// Ctrl-], which detaches.
const DETACH: &str = "\x1d";

impl Server {
    fn attach(&self, args: &[&str]) -> Command {
        self.command(&[&["attach"], args].concat(), Path::new("/"))
    }

    /// A proxy before this server, and `attach` through it.
    fn behind_proxy(&self) -> CuttableProxy {
        let running: Value = serde_json::from_str(&self.file("server.json")).expect("JSON");
        let url = running["url"].as_str().expect("a URL").to_owned();
        CuttableProxy::before(url.trim_start_matches("http://").to_owned())
    }

    fn attach_through(&self, proxy: &CuttableProxy, args: &[&str]) -> OnTerminal {
        let mut attach = self.attach(args);
        attach.env("EPHEMERAL_URL", proxy.url());
        attach.env("EPHEMERAL_TOKEN", self.file("token").trim());
        OnTerminal::new(attach)
    }
}

#[test]
fn attach_has_our_size_takes_our_keys_and_ends_as_the_command() {
    let Some(server) = Server::up() else { return };
    let line = "stty size; echo ready; read line; echo got $line; exit 7";
    let mut attach = OnTerminal::new(server.attach(&[&server.shell, "--", line]));
    attach.until("33 111\r\nready");
    attach.press("a line\r");
    assert_eq!(attach.ended(), Some(7), "{}", attach.shown());
    assert!(attach.shown().contains("got a line\r\n"), "{}", attach.shown());
    assert!(attach.shown().contains("Ctrl-] detaches\r\n"), "{}", attach.shown());
}

#[test]
fn what_was_typed_before_ctrl_bracket_arrives_and_the_server_is_told_at_once() {
    let Some(server) = Server::up() else { return };
    let line = "echo ready; read line; echo $line >typed; read line";
    let mut attach = OnTerminal::new(server.attach(&[&server.shell, "--", line]));
    attach.until("ready");
    attach.press(&format!("a line\r{DETACH}"));
    assert_eq!(attach.ended(), Some(0), "{}", attach.shown());
    let typed =
        server.exec("for i in $(seq 100); do test -s typed && break; sleep 0.1; done; cat typed");
    assert_eq!(typed, "a line\n");
    // A client that is lost is waited for, for 30 seconds.
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let events = server.run(&["events", &server.shell], Path::new("/"));
        let events = String::from_utf8(events.stdout).expect("UTF-8");
        if events.contains("terminal_detached") {
            return;
        }
        assert!(Instant::now() < deadline, "{events}");
    }
}

#[test]
fn what_is_typed_after_ctrl_bracket_is_not_left_for_the_next_program() {
    let Some(server) = Server::up() else { return };
    let mut attach =
        OnTerminal::new(server.attach(&[&server.shell, "--", "echo ready; read line"]));
    attach.until("ready");
    // A paste that is larger than what the kernel hands out at once.
    attach.press(&format!("{DETACH}{}", "false\n".repeat(1500)));
    assert_eq!(attach.ended(), Some(0), "{}", attach.shown());
    assert!(!attach.holds_input());
}

#[test]
fn ctrl_bracket_detaches_at_once_while_the_server_is_away() {
    let Some(server) = Server::up() else { return };
    let proxy = server.behind_proxy();
    let mut attach = server.attach_through(&proxy, &[&server.shell, "--", "echo ready; read line"]);
    attach.until("ready");
    proxy.cut();
    attach.press(&format!("abc{DETACH}"));
    assert_eq!(attach.ended(), Some(0), "{}", attach.shown());
    assert!(attach.shown().contains("the last 3 bytes that were typed were not sent"));
    assert!(attach.shown().contains("detached; `ephemeral attach job_"), "{}", attach.shown());
}

#[test]
fn keys_without_a_connection_are_sent_later() {
    let Some(server) = Server::up() else { return };
    let proxy = server.behind_proxy();
    let line = "echo ready; read line; echo got $line; exit 3";
    let mut attach = server.attach_through(&proxy, &[&server.shell, "--", line]);
    attach.until("ready");
    proxy.cut();
    attach.press("a line\r");
    proxy.mend();
    attach.until("got a line\r\n");
    assert_eq!(attach.ended(), Some(3), "{}", attach.shown());
}

#[test]
fn a_program_runs_on_when_the_terminal_of_its_client_is_closed() {
    let Some(server) = Server::up() else { return };
    let line = "echo ready; exec bash --norc --noprofile -i";
    let mut attach = OnTerminal::new(server.attach(&[&server.shell, "--", line]));
    attach.until("ready");
    let shown = attach.shown();
    let job = shown.split_whitespace().find_map(|word| word.strip_prefix("job_")).expect("a job");
    let job = format!("job_{}", job.trim_end_matches(';'));
    attach.hung_up();
    let mut attach = OnTerminal::new(server.attach(&[&job]));
    attach.press("exit $((6 * 7))\r");
    assert_eq!(attach.ended(), Some(42), "{}", attach.shown());
}

#[test]
fn signals_end_attach_while_the_server_is_away() {
    let Some(server) = Server::up() else { return };
    let proxy = server.behind_proxy();
    for (signal, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
        let args = [&server.shell, "--", "echo ready; read line"];
        let mut attach = server.attach_through(&proxy, &args);
        attach.until("ready");
        proxy.cut();
        attach.signal(signal);
        assert_eq!(attach.ended(), Some(code), "{}", attach.shown());
        proxy.mend();
    }
}

#[test]
fn a_full_pipe_does_not_keep_attach_from_being_ended() {
    let Some(server) = Server::up() else { return };
    let attach = server.attach(&[&server.shell, "--", "yes"]);
    assert_eq!(terminated_behind_a_full_pipe(attach), Some(128 + 15));
}
