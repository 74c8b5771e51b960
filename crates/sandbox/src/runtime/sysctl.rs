//! Settings of the current network namespace: what is a privilege on a shared host is none in a sandbox.

use std::fs;

use super::AnyError;

const LOWEST_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
const PING_GROUPS: &str = "/proc/sys/net/ipv4/ping_group_range";

/// Lets every user listen on ports below 1024 and send ICMP echo requests.
pub(super) fn permit_low_ports_and_ping(in_user_namespace: bool) -> Result<(), AnyError> {
    // The range must be mapped in the user namespace, in ascending order on the host too. No command has
    // the group 0, which may be mapped apart from the others.
    let groups = if in_user_namespace { "1 65535" } else { "0 2147483647" };
    for (file, value) in [(LOWEST_PORT, "0"), (PING_GROUPS, groups)] {
        fs::write(file, value).map_err(|error| format!("failed to write {file}: {error}"))?;
    }
    Ok(())
}
