//! Sandboxes with network access.

use std::net::TcpListener;

use sandbox::{Network, RunError, TaskSpec};

use crate::host::{host, spec};

#[test]
fn the_network_goes_through_pasta_only() {
    let Some(host) = host() else { return };
    let spec = TaskSpec { network: Network::Egress, ..spec("egress") };
    if let Err(refused) = host.driver().run(spec.clone()) {
        assert!(matches!(refused, RunError::NoEgress));
        println!("SKIPPED: {refused}");
        return;
    }
    let id = host.start(spec);
    let interfaces = host.sh(&id, "tail -n +3 /proc/net/dev | wc -l; cat /etc/resolv.conf");
    assert_eq!(interfaces.stdout, "2\nnameserver 169.254.1.1\n");

    // Ports on the host's loopback interface are not reachable, neither by 127.0.0.1 nor by the gateway.
    let secret = TcpListener::bind("127.0.0.1:0").unwrap();
    secret.set_nonblocking(true).unwrap();
    let port = secret.local_addr().unwrap().port();
    let line = format!(
        "gateway=$(perl -lane '$F[1] eq \"00000000\" and print join \".\", reverse map hex, \
         $F[2] =~ /../g' /proc/net/route | head -1); \
         for a in 127.0.0.1 $gateway; do perl -MIO::Socket::INET -e \
         'print IO::Socket::INET->new(PeerAddr => shift, PeerPort => shift, Timeout => 1) \
         ? qq(open\\n) : qq(closed\\n)' $a {port}; done"
    );
    let reached = host.sh(&id, &line);
    assert!(!reached.stdout.contains("open"), "{reached:?}");
    assert!(secret.accept().is_err());

    // The metadata services of clouds are not reachable.
    for address in ["169.254.169.254", "169.254.170.2"] {
        let line = format!(
            "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(PeerAddr => shift, \
             PeerPort => 80, Timeout => 1); print $!{{EHOSTUNREACH}} ? q(no way) : $!' {address}"
        );
        assert_eq!(host.sh(&id, &line).stdout, "no way", "{address}");
    }
    host.stop(&id);
}
