//! Configures the current network namespace by rtnetlink(7).

use std::io;
use std::net::IpAddr;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto};

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_CREATE: u16 = 0x400;

/// A routing rule for packets to a network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) to: IpAddr,
    /// Length of the network's prefix in bits.
    pub(super) prefix: u8,
    /// Rules with a smaller number come first.
    pub(super) priority: u32,
    pub(super) action: RuleAction,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum RuleAction {
    /// Packets of this protocol to this port use the main routing table.
    UseRoutes { protocol: u8, port: u16 },
    /// Programs get `ENETUNREACH`.
    Unreachable,
}

/// Brings up interface 1, the loopback interface of every network namespace.
pub(super) fn bring_up_loopback() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const IFF_UP: u32 = 1;

    let mut link = vec![0; 4]; // ifinfomsg: family, padding, type; then index, flags, mask of change
    link.extend(1_i32.to_ne_bytes());
    link.extend(IFF_UP.to_ne_bytes());
    link.extend(IFF_UP.to_ne_bytes());
    request(RTM_NEWLINK, 0, &link)
}

/// Adds a routing rule.
pub(super) fn add_rule(rule: Rule) -> io::Result<()> {
    const RTM_NEWRULE: u16 = 32;
    const RT_TABLE_UNSPEC: u8 = 0;
    const RT_TABLE_MAIN: u8 = 254;
    const FR_ACT_TO_TBL: u8 = 1;
    const FR_ACT_UNREACHABLE: u8 = 7;
    const FRA_DST: u16 = 1;
    const FRA_PRIORITY: u16 = 6;
    const FRA_IP_PROTO: u16 = 22;
    const FRA_DPORT_RANGE: u16 = 24;

    let (family, address) = match rule.to {
        IpAddr::V4(address) => (AddressFamily::INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AddressFamily::INET6, address.octets().to_vec()),
    };
    let family = u8::try_from(family.as_raw()).expect("IPv4 and IPv6 are small numbers");
    let (table, action) = match rule.action {
        RuleAction::UseRoutes { .. } => (RT_TABLE_MAIN, FR_ACT_TO_TBL),
        RuleAction::Unreachable => (RT_TABLE_UNSPEC, FR_ACT_UNREACHABLE),
    };
    // fib_rule_hdr: family, bits of destination and source, TOS, table, two reserved bytes, action; flags
    let mut message = vec![family, rule.prefix, 0, 0, table, 0, 0, action];
    message.extend([0; 4]);
    attribute(&mut message, FRA_DST, &address);
    attribute(&mut message, FRA_PRIORITY, &rule.priority.to_ne_bytes());
    if let RuleAction::UseRoutes { protocol, port } = rule.action {
        attribute(&mut message, FRA_IP_PROTO, &[protocol]);
        attribute(
            &mut message,
            FRA_DPORT_RANGE,
            &[port.to_ne_bytes(), port.to_ne_bytes()].concat(),
        );
    }
    request(RTM_NEWRULE, NLM_F_CREATE, &message)
}

/// Appends an attribute (rtattr: length, type, value), padded to four bytes.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("values have 16 bytes at most");
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Sends a request to the kernel and waits for its acknowledgement.
fn request(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    const HEADER: usize = 16;
    const NLMSG_ERROR: u16 = 2;

    let length = u32::try_from(HEADER + body.len()).expect("requests have less than 100 bytes");
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes()); // nlmsghdr: length of all, type, flags, sequence, port
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);

    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(family, SocketType::RAW, flags, None)?;
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 256];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    let malformed = || io::Error::other("malformed netlink answer from the kernel");
    let answer = answer.get(..length).ok_or_else(malformed)?;
    let kind = answer.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(16..20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(malformed()),
    }
}
