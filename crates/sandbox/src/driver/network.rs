//! How a sandbox is connected to the network: by pasta, and which DNS servers it uses.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use super::Inner;
use crate::uid_range::Block;

/// The DNS server of a sandbox whose host has none that the sandbox could reach: pasta forwards queries
/// by UDP to the host's resolver.
const FORWARDER: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
/// resolv.conf(5) uses three at most.
const MAX_RESOLVERS: usize = 3;
/// The host's own, and those behind the local stub of systemd-resolved.
const RESOLV_CONF: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The DNS servers that sandboxes with a network use, for queries by UDP and by TCP.
pub(super) fn resolvers() -> Vec<IpAddr> {
    let texts = RESOLV_CONF.map(|file| fs::read_to_string(file).unwrap_or_default());
    let found = texts.iter().map(|text| reachable(text)).find(|found| !found.is_empty());
    found.unwrap_or_else(|| vec![FORWARDER])
}

/// The servers in the text of a resolv.conf that do not listen on the host's loopback interface.
fn reachable(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = servers.filter_map(|address| address.trim().parse::<IpAddr>().ok());
    let other = addresses.filter(|address| !address.is_loopback() && !address.is_unspecified());
    other.take(MAX_RESOLVERS).collect()
}

/// The content of `/etc/resolv.conf` for these servers.
pub(super) fn resolv_conf(resolvers: &[IpAddr]) -> String {
    resolvers.iter().map(|address| format!("nameserver {address}\n")).collect()
}

impl Inner {
    /// The command line of pasta: maps neither the host's loopback nor any port into the sandbox. The
    /// process is in the sandbox's cgroup and ends with it.
    pub(super) fn pasta_command(&self, resolvers: &[IpAddr], block: Option<Block>) -> Vec<String> {
        let mut command = vec!["pasta", "--config-net", "--quiet", "--no-map-gw"];
        // The namespace is configured at once and for good.
        command.extend(["--no-dhcp", "--no-dhcpv6", "--no-ra"]);
        command.extend(["-t", "none", "-u", "none", "-T", "none", "-U", "none"]);
        let forwarder = FORWARDER.to_string();
        if resolvers.contains(&FORWARDER) {
            command.extend(["--dns-forward", &forwarder]);
        }
        command.extend(["--userns", "/proc/self/fd/4", "--netns", "/proc/self/fd/3"]);
        let mut command: Vec<String> = command.into_iter().map(str::to_owned).collect();
        if let Some(block) = block {
            // The user that owns the namespaces and, as PID 1, nothing else on the host.
            command.extend(["--runas".to_owned(), format!("{0}:{0}", block.runner())]);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_the_loopback_interface_are_left_out() {
        let text = "# comment\nnameserver 127.0.0.53\nnameserver 10.0.0.2\n nameserver ::1\n\
                    nameserver 2001:db8::53\nnameserver nonsense\nsearch example\nnameserver 0.0.0.0\n";
        let found = reachable(text);
        assert_eq!(found, ["10.0.0.2", "2001:db8::53"].map(|text| text.parse::<IpAddr>().unwrap()));
        assert_eq!(resolv_conf(&found), "nameserver 10.0.0.2\nnameserver 2001:db8::53\n");
    }
}
