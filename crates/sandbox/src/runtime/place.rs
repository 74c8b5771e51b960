//! Where the container is made: in its control groups, with mounts and a network of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::{AnyError, Plan, Scratch};

pub(super) fn enter(plan: &Plan) -> Result<(), AnyError> {
    for procs in &plan.entrances {
        fs::write(procs, "0").map_err(|error| format!("{}: {error}", procs.display()))?;
    }
    leave_the_host()?;
    raise_loopback().map_err(|error| format!("can't bring the loopback up: {error}"))?;
    mount_scratch(&plan.scratch)
}

#[expect(unsafe_code, reason = "unshare can take a file table apart; not with these flags")]
fn leave_the_host() -> Result<(), AnyError> {
    // SAFETY: neither flag touches file descriptors or memory of this process.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWNET) }
        .map_err(|error| format!("can't make namespaces: {error}"))?;
    // What the host unmounts must go here too; nothing may come back.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}

fn mount_scratch(scratch: &Scratch) -> Result<(), AnyError> {
    let options = format!("size={}m,mode=755", scratch.size_mib);
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", &scratch.at, "tmpfs", flags, options.as_c_str())?;
    make(&scratch.at.join("tmp"), 0o1777, 0)?;
    make(&scratch.at.join("home"), 0o700, scratch.home_owner)
}

fn make(dir: &Path, mode: u32, owner: u32) -> Result<(), AnyError> {
    fs::create_dir(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(mode))?;
    Ok(chown(dir, Some(owner), Some(owner))?)
}

/// Asks the kernel by rtnetlink(7): a message RTM_NEWLINK for interface 1, which is always `lo`.
fn raise_loopback() -> Result<(), AnyError> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 5;
    const NLMSG_ERROR: u16 = 2;
    const IFF_UP: u32 = 1;

    let mut message = Vec::new();
    message.extend(32_u32.to_ne_bytes()); // nlmsghdr: length of all, type, flags, sequence, port
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]); // ifinfomsg: family, padding, type; then index, flags, mask of change
    message.extend(1_i32.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());

    let kind = (AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(kind.0, kind.1, kind.2, None)?;
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 256];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    let refused = || "no answer from the kernel";
    let answer = answer.get(..length).ok_or_else(refused)?;
    let kind = answer.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(16..20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(std::io::Error::from_raw_os_error(-code).into()),
        _ => Err(refused().into()),
    }
}
