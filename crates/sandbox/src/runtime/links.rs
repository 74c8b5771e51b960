//! The network of this namespace, by rtnetlink(7).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto};

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;

/// Where clouds tell whoever asks on one of their machines about it, credentials included.
const METADATA_V4: [Ipv4Addr; 2] =
    [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(169, 254, 170, 2)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Brings up interface 1, which is always `lo`.
pub(super) fn raise_loopback() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const IFF_UP: u32 = 1;

    let mut link = vec![0; 4]; // ifinfomsg: family, padding, type; then index, flags, mask of change
    link.extend(1_i32.to_ne_bytes());
    link.extend(IFF_UP.to_ne_bytes());
    link.extend(IFF_UP.to_ne_bytes());
    ask(RTM_NEWLINK, 0, &link)
}

/// A shell has no business with the host's own identity.
pub(super) fn forbid_metadata() -> io::Result<()> {
    for address in METADATA_V4 {
        forbid(AddressFamily::INET, &address.octets())?;
    }
    match forbid(AddressFamily::INET6, &METADATA_V6.octets()) {
        Err(error) if lacks_ipv6(&error) => Ok(()),
        done => done,
    }
}

/// The kernel has no IPv6, or it is switched off.
fn lacks_ipv6(error: &io::Error) -> bool {
    let code = Errno::from_io_error(error);
    matches!(code, Some(Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::ACCESS))
}

/// Makes one address unreachable from here.
fn forbid(family: AddressFamily, address: &[u8]) -> io::Result<()> {
    const RTM_NEWROUTE: u16 = 24;
    const RT_TABLE_MAIN: u8 = 254;
    const RTPROT_STATIC: u8 = 4;
    const RTN_UNREACHABLE: u8 = 7;
    const RTA_DST: u16 = 1;

    let family = u8::try_from(family.as_raw()).expect("IPv4 and IPv6 are small numbers");
    let length = u8::try_from(address.len()).expect("an address has 4 or 16 bytes");
    // rtmsg: family, bits of destination and source, TOS, table, protocol, scope, type; flags
    let mut route =
        vec![family, length * 8, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNREACHABLE];
    route.extend([0; 4]);
    route.extend((4 + u16::from(length)).to_ne_bytes()); // rtattr: length, type
    route.extend(RTA_DST.to_ne_bytes());
    route.extend(address);
    ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route)
}

/// Sends one request to the kernel and waits for its word on it.
fn ask(request: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    const HEADER: usize = 16;
    const NLMSG_ERROR: u16 = 2;

    let length = u32::try_from(HEADER + body.len()).expect("our requests are short");
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes()); // nlmsghdr: length of all, type, flags, sequence, port
    message.extend(request.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);

    let kind = (AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(kind.0, kind.1, kind.2, None)?;
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 256];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    let refused = || io::Error::other("no answer from the kernel");
    let answer = answer.get(..length).ok_or_else(refused)?;
    let kind = answer.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(16..20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(refused()),
    }
}
