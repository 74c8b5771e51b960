use std::net::Ipv4Addr;

use super::*;

fn connections(open: usize, open_per_peer: usize) -> Connections {
    let limits = ConnectionLimits {
        open: Some(open),
        open_per_peer: Some(open_per_peer),
        ..ConnectionLimits::default()
    };
    Connections::new(&limits, 1000, false)
}

fn peer(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

#[test]
fn by_default_a_peer_beyond_loopback_may_have_a_quarter_of_the_room() {
    for (room, on_loopback, expected) in
        [(1000, false, (1000, 250)), (1000, true, (1000, 1000)), (0, false, (1, 1))]
    {
        let connections = Connections::new(&ConnectionLimits::default(), room, on_loopback);
        assert_eq!((connections.open, connections.open_per_peer), expected, "{room} {on_loopback}");
    }
}

#[test]
fn addresses_of_one_ipv6_network_are_one_peer() {
    let network = |text: &str| super::network(text.parse().unwrap());
    assert_eq!(network("2001:db8:0:1::5"), network("2001:db8:0:1:ffff::1"));
    assert_ne!(network("2001:db8:0:1::5"), network("2001:db8:0:2::5"));
    assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
}

#[test]
fn a_peer_beyond_its_share_loses_its_own_connection_that_waits_longest() {
    let connections = connections(10, 2);
    let other = connections.admit(peer(2)).unwrap();
    let oldest = connections.admit(peer(1)).unwrap();
    let newer = connections.admit(peer(1)).unwrap();
    let newest = connections.admit(peer(1)).unwrap();
    assert_eq!(oldest.phase.get(), Phase::Evicted);
    for kept in [other, newer, newest] {
        assert!(matches!(kept.phase.get(), Phase::Receiving(_)), "{kept:?}");
    }
}

#[test]
fn beyond_the_limit_a_peer_with_the_most_connections_loses_one() {
    let connections = connections(4, 3);
    let single = connections.admit(peer(2)).unwrap();
    let many: Vec<_> = (0..3).map(|_| connections.admit(peer(1)).unwrap()).collect();
    let _newest = connections.admit(peer(3)).unwrap();
    assert_eq!(many[0].phase.get(), Phase::Evicted);
    assert!(matches!(single.phase.get(), Phase::Receiving(_)));
}

#[test]
fn connections_without_a_user_are_closed_before_those_of_users() {
    let connections = connections(3, 3);
    let of_user = connections.admit(peer(1)).unwrap();
    of_user.phase.authenticated();
    drop(of_user.phase.serve());
    let silent: Vec<_> = (0..2).map(|_| connections.admit(peer(1)).unwrap()).collect();
    let _newest: Vec<_> = (0..2).map(|_| connections.admit(peer(1)).unwrap()).collect();
    assert!(silent.iter().all(|silent| silent.phase.get() == Phase::Evicted), "{silent:?}");
    assert!(matches!(of_user.phase.get(), Phase::Idle(_)), "{of_user:?}");
}

#[test]
fn a_connection_that_serves_a_request_is_not_closed_for_another() {
    let connections = connections(2, 2);
    let first = connections.admit(peer(1)).unwrap();
    let second = connections.admit(peer(2)).unwrap();
    let (serving, _serving) = (first.phase.serve(), second.phase.serve());
    first.phase.authenticated();
    second.phase.authenticated();
    assert!(connections.admit(peer(3)).is_none());
    assert_eq!(first.phase.get(), Phase::Serving);
    drop(serving);
    let third = connections.admit(peer(3)).unwrap();
    assert_eq!(first.phase.get(), Phase::Evicted);
    drop((first, second, third));
    let registry = connections.registry.lock();
    assert!(registry.entries.is_empty() && registry.per_peer.is_empty());
}

#[test]
fn a_request_without_a_user_is_closed_for_another_connection() {
    let connections = connections(2, 2);
    let anonymous = connections.admit(peer(1)).unwrap();
    let handled = anonymous.phase.serve();
    let of_user = connections.admit(peer(1)).unwrap();
    of_user.phase.authenticated();
    let _newest = connections.admit(peer(1)).unwrap();
    assert_eq!(anonymous.phase.get(), Phase::Evicted);
    // Nothing brings it back.
    anonymous.phase.authenticated();
    drop((anonymous.phase.serve(), handled));
    assert_eq!(anonymous.phase.get(), Phase::Evicted);
}

#[tokio::test(start_paused = true)]
async fn a_connection_waits_for_others_that_are_closed_for_it_but_not_for_long() {
    let connections = connections(100, 100);
    let mut admitted: Vec<_> =
        (0..100 + CLOSING).map(|_| connections.admit(peer(1)).unwrap()).collect();
    let waits = || tokio::time::timeout(CLOSES_WITHIN / 2, connections.settled());
    assert!(waits().await.is_err(), "there is room");
    admitted.retain(|admitted| admitted.phase.get() != Phase::Evicted);
    connections.settled().await;
    admitted.extend((0..CLOSING).map(|_| connections.admit(peer(1)).unwrap()));
    // Something holds the closed ones for ever.
    let start = Instant::now();
    connections.settled().await;
    assert!(start.elapsed() <= CLOSES_WITHIN + LOOK_EVERY, "{:?}", start.elapsed());
    assert!(connections.admit(peer(2)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_connection_expires_by_what_it_waits_for() {
    let limits = ConnectionLimits::default();
    let phase = SharedPhase::new();
    let start = Instant::now();
    phase.expired(&limits).await;
    assert_eq!(start.elapsed().as_secs(), limits.header_timeout.as_secs());
    drop(phase.serve());
    let start = Instant::now();
    phase.expired(&limits).await;
    assert_eq!(start.elapsed().as_secs(), limits.idle_timeout.as_secs());
    phase.received();
    let start = Instant::now();
    phase.expired(&limits).await;
    assert_eq!(start.elapsed().as_secs(), limits.header_timeout.as_secs());
    let _serving = phase.serve();
    phase.authenticated();
    let day = Duration::from_hours(24);
    assert!(tokio::time::timeout(day, phase.expired(&limits)).await.is_err());
}
