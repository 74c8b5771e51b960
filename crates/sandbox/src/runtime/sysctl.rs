//! Settings of the current network namespace: what is a privilege on a shared host is none in a sandbox.

use std::fs;

use super::AnyError;

const LOWEST_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
const PING_GROUPS: &str = "/proc/sys/net/ipv4/ping_group_range";
/// The largest value that the kernel accepts there.
const MAX_GROUP: u64 = i32::MAX as u64;

/// Lets every user listen on ports below 1024 and send ICMP echo requests. Must be called in the user
/// namespace to which the network namespace belongs.
pub(super) fn permit_low_ports_and_ping() -> Result<(), AnyError> {
    let groups = groups(&fs::read_to_string("/proc/self/gid_map")?)
        .ok_or("the user namespace has no groups")?;
    for (file, value) in [(LOWEST_PORT, "0"), (PING_GROUPS, &groups)] {
        fs::write(file, value).map_err(|error| format!("failed to write {file}: {error}"))?;
    }
    Ok(())
}

/// The first and the last group of the longest range of a user namespace. Both must be mapped, and be in
/// ascending order on the host too, where the ranges may lie in another order.
fn groups(gid_map: &str) -> Option<String> {
    let ranges = gid_map.lines().filter_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        let (first, count) = (numbers.next()?.ok()?, numbers.nth(1)?.ok()?);
        Some((count, first))
    });
    let (count, first) = ranges.max()?;
    let last = (first + count).checked_sub(1)?.min(MAX_GROUP);
    Some(format!("{first} {last}"))
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn the_longest_range_of_groups_may_ping() {
        assert_eq!(groups("         0          0 4294967295\n").unwrap(), "0 2147483647");
        assert_eq!(groups("0 1000 1\n1 100000 65535\n").unwrap(), "1 65535");
        assert_eq!(groups("0 2000000 65536\n").unwrap(), "0 65535");
        assert_eq!(groups(""), None);
    }
}
