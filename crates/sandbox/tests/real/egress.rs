//! Sandboxes with network access. The host's side is a network namespace of the test's own, whose addresses
//! stand for the internet, the host's network and the metadata services of clouds.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;

use sandbox::{Egress, Network, RunError, TaskId, TaskSpec};

use crate::host::{Host, host, host_with, spec};

const PORT: u16 = 8080;
const RESOLVER: &str = "10.9.9.9";
const PUBLIC: [&str; 2] = ["1.2.3.4", "2606:4700::1111"];
const PRIVATE: [&str; 6] =
    ["192.168.77.9", "10.1.2.3", RESOLVER, "172.16.5.5", "100.64.1.1", "fd12::5"];
const METADATA: [&str; 8] = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
];

/// Runs the named test again in new network and mount namespaces. True in that second run.
fn is_in_own_namespaces(test: &str) -> bool {
    const ROLE: &str = "EPHEMERAL_TEST_NETWORK";
    if std::env::var_os(ROLE).is_some() {
        build_network();
        return true;
    }
    if host().is_none() {
        return false;
    }
    let mut again = Command::new("unshare");
    again.args(["--net", "--mount"]).arg(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]).env(ROLE, "1");
    match again.status() {
        Ok(status) => assert!(status.success(), "failed in its own network namespace"),
        Err(error) => println!("SKIPPED: unshare: {error}"),
    }
    false
}

/// A host with one interface, whose network is private, and all addresses of this test.
fn build_network() {
    let run = |line: &str| {
        let done = Command::new("sh").args(["-ec", line]).status().unwrap();
        assert!(done.success(), "{line}");
    };
    run("ip link set lo up; ip link add ext0 type veth peer name ext1; \
         ip link set ext0 up; ip link set ext1 up; \
         ip addr add 192.168.77.2/24 dev ext0; ip route add default via 192.168.77.1; \
         ip addr add 2001:470::2/64 dev ext0 nodad; ip route add default via 2001:470::1");
    for address in PUBLIC.iter().chain(&PRIVATE).chain(&METADATA) {
        run(&format!("ip addr add {address} dev lo"));
    }
    let resolv_conf = std::env::temp_dir().join(format!("resolv.conf-{}", std::process::id()));
    std::fs::write(&resolv_conf, format!("nameserver {RESOLVER}\n")).unwrap();
    let target = Path::new("/etc/resolv.conf").canonicalize().unwrap();
    run(&format!("mount --bind {} {}", resolv_conf.display(), target.display()));
    std::fs::remove_file(resolv_conf).unwrap();
}

/// Answers each connection to the port with `hello`.
fn serve(address: &str, port: u16) {
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The peer may have closed it already.
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"hello\n");
        }
    });
}

/// Answers each datagram with `hello`.
fn serve_udp(address: &str, port: u16) {
    let socket = UdpSocket::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        loop {
            let (_, peer) = socket.recv_from(&mut [0; 512]).unwrap();
            socket.send_to(b"hello\n", peer).unwrap();
        }
    });
}

/// A sandbox with a network; `None` with the reason where there is none.
fn connected(host: &Host, token: &str) -> Option<TaskId> {
    let spec = TaskSpec { network: Network::Egress, ..spec(token) };
    match host.driver().run(spec.clone()) {
        Ok(_) => Some(host.start(spec)),
        Err(refused) => {
            assert!(matches!(refused, RunError::NoEgress));
            println!("SKIPPED: {refused}");
            None
        }
    }
}

fn fetch(host: &Host, id: &TaskId, protocol: &str, address: &str, port: u16) -> String {
    let line = format!(
        "timeout 5 bash -c 'exec 3<>/dev/{protocol}/{address}/{port} && echo hi >&3 && head -1 <&3'"
    );
    let done = host.sh(id, &line);
    done.stdout + &done.stderr
}

fn assert_reached(host: &Host, id: &TaskId, address: &str) {
    assert_eq!(fetch(host, id, "tcp", address, PORT), "hello\n", "{address}");
}

fn assert_unreachable(host: &Host, id: &TaskId, address: &str) {
    for protocol in ["tcp", "udp"] {
        let answer = fetch(host, id, protocol, address, PORT);
        assert!(answer.contains("Network is unreachable"), "{protocol} {address}: {answer}");
    }
}

#[test]
fn public_access_reaches_the_internet_and_the_resolver_only() {
    let test = "egress::public_access_reaches_the_internet_and_the_resolver_only";
    if !is_in_own_namespaces(test) {
        return;
    }
    let Some(host) = host() else { return };
    serve("::", PORT);
    serve(RESOLVER, 53);
    serve_udp(RESOLVER, 53);
    let Some(id) = connected(&host, "egress-public") else { return };
    assert_eq!(host.sh(&id, "cat /etc/resolv.conf").stdout, format!("nameserver {RESOLVER}\n"));
    for protocol in ["tcp", "udp"] {
        assert_eq!(fetch(&host, &id, protocol, RESOLVER, 53), "hello\n", "{protocol}");
    }
    PUBLIC.iter().for_each(|address| assert_reached(&host, &id, address));
    PRIVATE.iter().chain(&METADATA).for_each(|address| assert_unreachable(&host, &id, address));
    assert_no_way_to_the_host(&host, &id);
    host.stop(&id);
}

#[test]
fn unrestricted_access_reaches_all_but_metadata_services_and_loopback() {
    let test = "egress::unrestricted_access_reaches_all_but_metadata_services_and_loopback";
    if !is_in_own_namespaces(test) {
        return;
    }
    let Some(host) = host_with(|config| config.egress = Egress::Any) else { return };
    serve("::", PORT);
    let Some(id) = connected(&host, "egress-any") else { return };
    PUBLIC.iter().chain(&PRIVATE).for_each(|address| assert_reached(&host, &id, address));
    METADATA.iter().for_each(|address| assert_unreachable(&host, &id, address));
    assert_no_way_to_the_host(&host, &id);
    host.stop(&id);
}

/// Ports on the host's loopback interface are reachable neither by it nor by the gateway.
fn assert_no_way_to_the_host(host: &Host, id: &TaskId) {
    let secret = TcpListener::bind("127.0.0.1:0").unwrap();
    secret.set_nonblocking(true).unwrap();
    let port = secret.local_addr().unwrap().port();
    for address in ["127.0.0.1", "192.168.77.1", "192.168.77.2", "0.0.0.0"] {
        let answer = fetch(host, id, "tcp", address, port);
        assert!(!answer.contains("hello"), "{address}: {answer}");
    }
    match secret.accept() {
        Ok((mut stream, _)) => {
            let _ = stream.read(&mut [0]);
            panic!("a sandbox has reached the host's loopback interface");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
    }
}

#[test]
fn a_driver_without_network_refuses_tasks_that_want_one() {
    let Some(host) = host_with(|config| config.egress = Egress::None) else { return };
    assert!(!host.driver().has_egress());
    let refused = host.driver().run(TaskSpec { network: Network::Egress, ..spec("egress-none") });
    assert!(matches!(refused, Err(RunError::NoEgress)));
}
