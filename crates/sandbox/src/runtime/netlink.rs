//! Configures the current network namespace by rtnetlink(7).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto};

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;

/// Addresses of the metadata services of clouds, which give credentials to any process on a machine.
const METADATA_V4: [Ipv4Addr; 2] =
    [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(169, 254, 170, 2)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

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

/// Makes the metadata services unreachable: their credentials belong to the host.
pub(super) fn block_metadata_addresses() -> io::Result<()> {
    for address in METADATA_V4 {
        block(AddressFamily::INET, &address.octets())?;
    }
    match block(AddressFamily::INET6, &METADATA_V6.octets()) {
        Err(error) if has_no_ipv6(&error) => Ok(()),
        done => done,
    }
}

/// Whether the error means that the kernel has no IPv6 or that IPv6 is disabled.
fn has_no_ipv6(error: &io::Error) -> bool {
    let code = Errno::from_io_error(error);
    matches!(code, Some(Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::ACCESS))
}

/// Adds an unreachable route to one address.
fn block(family: AddressFamily, address: &[u8]) -> io::Result<()> {
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
    request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route)
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
