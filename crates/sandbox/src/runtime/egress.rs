//! Which addresses a sandbox with a network can't reach.
//!
//! Routing rules decide before the routes do, which pasta copies from the host: a route of the host's own
//! network is more specific than any that could forbid it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::netlink::{Rule, RuleAction, add_rule};
use crate::driver::Egress;

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> (IpAddr, u8) {
    (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
}

const fn v6(first: u16, second: u16, third: u16, prefix: u8) -> (IpAddr, u8) {
    (IpAddr::V6(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0)), prefix)
}

/// The metadata services of clouds, which give credentials to any process on a machine, and link-local
/// addresses, among which most of them are.
const METADATA: [(IpAddr, u8); 7] = [
    v4(169, 254, 0, 0, 16),
    // Azure's wire server, Alibaba, Oracle.
    v4(168, 63, 129, 16, 32),
    v4(100, 100, 100, 200, 32),
    v4(192, 0, 0, 192, 32),
    // AWS.
    v6(0xfd00, 0xec2, 0, 32),
    // Google.
    (IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)), 128),
    v6(0xfe80, 0, 0, 10),
];

/// What is not a unicast address of the internet: the special-purpose registries of IANA, RFC 6890 and
/// its updates. NAT64 and 6to4 addresses contain IPv4 addresses that may be private.
const NOT_PUBLIC: [(IpAddr, u8); 25] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    // Global unicast is 2000::/3; the rest of the address space in five parts.
    v6(0, 0, 0, 3),
    v6(0x4000, 0, 0, 2),
    v6(0x8000, 0, 0, 2),
    v6(0xc000, 0, 0, 3),
    v6(0xe000, 0, 0, 3),
    v6(0x2001, 0, 0, 23),
    v6(0x2001, 0xdb8, 0, 32),
    v6(0x2002, 0, 0, 16),
    v6(0x3fff, 0, 0, 20),
    v6(0xfec0, 0, 0, 10),
    v6(0xff00, 0, 0, 8),
];

/// Priorities of rules: the smaller comes first. Those of the kernel are 0 for the sandbox's own
/// addresses, and 32766 for the routes.
const RESOLVERS: u32 = 100;
const BLOCKED: u32 = 101;

const DNS: u16 = 53;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Makes the addresses unreachable that the mode excludes, except the DNS service of the resolvers.
pub(super) fn restrict(egress: Egress, resolvers: &[IpAddr]) -> io::Result<()> {
    let not_public: &[(IpAddr, u8)] = match egress {
        Egress::None | Egress::Public => &NOT_PUBLIC,
        Egress::Any => &[],
    };
    // Without the file the kernel has no IPv6.
    let has_v6 = Path::new("/proc/net/if_inet6").exists();
    let known = |address: &IpAddr| address.is_ipv4() || has_v6;
    for &to in resolvers.iter().filter(|address| known(address)) {
        let prefix = if to.is_ipv4() { 32 } else { 128 };
        for protocol in [TCP, UDP] {
            let action = RuleAction::UseRoutes { protocol, port: DNS };
            add_rule(Rule { to, prefix, priority: RESOLVERS, action })?;
        }
    }
    let blocked = METADATA.iter().chain(not_public).filter(|(address, _)| known(address));
    for &(to, prefix) in blocked {
        add_rule(Rule { to, prefix, priority: BLOCKED, action: RuleAction::Unreachable })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_blocked(egress: Egress, address: &str) -> bool {
        let address: IpAddr = address.parse().unwrap();
        let not_public: &[(IpAddr, u8)] = if egress == Egress::Any { &[] } else { &NOT_PUBLIC };
        METADATA.iter().chain(not_public).any(|(network, prefix)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= (*prefix).into()
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= (*prefix).into()
            }
            _ => false,
        })
    }

    #[test]
    fn metadata_services_are_never_reachable() {
        let addresses = [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "169.254.169.253",
            "169.254.0.23",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fe80::a9fe:a9fe",
        ];
        for address in addresses {
            assert!(is_blocked(Egress::Public, address), "{address}");
            assert!(is_blocked(Egress::Any, address), "{address}");
        }
    }

    #[test]
    fn public_means_unicast_addresses_of_the_internet() {
        let inside = [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "fd12::1",
            "fc00::1",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
            "ff02::1",
            "fec0::1",
        ];
        for address in inside {
            assert!(is_blocked(Egress::Public, address), "{address}");
        }
        let outside = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "223.255.255.255",
            "168.63.129.15",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860::8888",
        ];
        for address in outside {
            assert!(!is_blocked(Egress::Public, address), "{address}");
        }
        for address in ["10.0.0.1", "192.168.1.1", "fd12::1", "1.1.1.1"] {
            assert!(!is_blocked(Egress::Any, address), "{address}");
        }
    }
}
