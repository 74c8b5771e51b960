//! Network for those who ask.

use std::io::{Read, Write};
use std::net::TcpListener;

use sandbox::{Network, RunError, TaskSpec};

use crate::host::{host, spec};

#[test]
fn the_network_goes_through_pasta_or_not_at_all() {
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

    // What listens on the host's loopback is not to be reached, by any name.
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
    host.stop(&id);
}

#[test]
fn the_outside_is_reached_through_pasta() {
    let Some(host) = host() else { return };
    // An address of this host that is not its loopback stands in for the outside.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let outside = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr());
    let listener = outside.and_then(|own| TcpListener::bind((own.ip(), 0)));
    let Ok(listener) = listener else {
        println!("SKIPPED: this host has no address but its loopback");
        return;
    };
    let spec = TaskSpec { network: Network::Egress, ..spec("outside") };
    let Ok(id) = host.driver().run(spec) else {
        println!("SKIPPED: no pasta");
        return;
    };
    host.wait(&id, sandbox::Status::Running);
    let address = listener.local_addr().unwrap();
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello\n").unwrap();
        drop(stream.read(&mut [0; 1]));
    });
    let line = format!(
        "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(PeerAddr => shift, Timeout => 5) \
         or die $@; print scalar <$s>' {address}"
    );
    let done = host.sh(&id, &line);
    if done.stdout.is_empty() {
        // A sandbox has the host's address itself, which then is its own.
        println!("SKIPPED: {}", done.stderr);
        drop(std::net::TcpStream::connect(address));
    } else {
        assert_eq!(done.stdout, "hello\n");
    }
    answer.join().unwrap();
    host.stop(&id);
}
