//! The limits of a sandbox.

use std::time::{Duration, Instant};

use runner::protocol::{Cause, Event};
use sandbox::{StopCode, TaskSpec};

use crate::host::{host, is_root, spec};

#[test]
fn a_job_beyond_the_memory_limit_is_killed_and_counted() {
    let Some(host) = host() else { return };
    let id = host.start(TaskSpec { memory_mib: 64, ..spec("memory") });
    assert_eq!(host.driver().oom_kills(&id), 0);
    let done = host.sh(&id, "exec perl -e '$x = q(a) x (256 << 20); print length $x'");
    assert_eq!(done.stdout, "");
    assert_eq!((&done.exit.cause, done.exit.usage.oom_kills), (&Cause::OomKilled, Some(1)));
    assert_eq!(host.driver().oom_kills(&id), 1);
    let tolerated = host.sh(&id, "perl -e '$x = q(a) x (256 << 20); print length $x' || true");
    assert_eq!(tolerated.exit.cause, Cause::Exited { code: 0 });
    assert_eq!(tolerated.exit.usage.oom_kills, Some(1));
    assert_eq!(host.driver().oom_kills(&id), 2);
    let innocent = host.sh(&id, "exit 137");
    assert_eq!(innocent.exit.cause, Cause::Exited { code: 137 });
    assert_eq!(innocent.exit.usage.oom_kills, Some(0));
    assert!(matches!(host.client(&id).probe(), Event::Ready { .. }), "the shell must still run");
    assert!(host.stop(&id).oom_killed);
}

#[test]
fn what_a_job_leaves_running_is_ended_and_its_usage_is_its_own() {
    let Some(host) = host() else { return };
    let id = host.start(spec("leftover"));
    let done = host.sh(&id, "(setsid sleep 1007 &); (setsid nohup sleep 1007 &); sleep 0.2");
    assert_eq!(done.exit.leftover, 2, "{done:?}");
    let left = host.sh(&id, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o '[s]leep 1007'");
    assert_eq!(left.stdout, "");
    assert!(left.exit.usage.memory_peak_bytes > Some(100_000), "{left:?}");
    let groups = host.sh(&id, "cut -d: -f3 /proc/self/cgroup | grep -c job; ls /run/ephemeral");
    assert_ne!(groups.stdout, "0\n", "{groups:?}");
    assert!(groups.stderr.contains("Permission denied"), "{groups:?}");
    host.stop(&id);
}

#[test]
fn shared_memory_is_half_of_the_memory() {
    let Some(host) = host() else { return };
    let id = host.start(TaskSpec { memory_mib: 64, ..spec("shm") });
    let size = host.sh(&id, "df --output=size -B1M /dev/shm | tail -1");
    assert_eq!(size.stdout.trim(), "32");
    let full = host.sh(&id, "head -c 40M /dev/zero > /dev/shm/a");
    assert!(full.stderr.contains("No space left"), "{}", full.stderr);
    assert_eq!(full.exit.usage.oom_kills, Some(0));
    host.stop(&id);
}

#[test]
fn one_sandbox_can_not_use_up_the_terminals_of_another() {
    let Some(host) = host() else { return };
    let greedy = host.start(spec("terminals-a"));
    let other = host.start(spec("terminals-b"));
    let line =
        "perl -e 'while (open my $f, q(+<), q(/dev/ptmx)) { push @all, $f } print scalar @all'";
    assert_eq!(host.sh(&greedy, line).stdout, "64");
    assert_eq!(host.sh(&other, line).stdout, "64");
    host.stop(&greedy);
    host.stop(&other);
}

#[test]
fn a_fork_bomb_is_limited_and_ends_with_the_sandbox() {
    let Some(host) = host() else { return };
    let id = host.start(TaskSpec { pids: 40, ..spec("bomb") });
    let mut client = host.client(&id);
    client.start("trap '' TERM; echo armed; b() { b | b & }; b; while :; do b; done");
    while !matches!(client.next(), Some(Event::Output(_))) {}
    assert_eq!(
        host.sh(&id, "echo served").stdout,
        "served\n",
        "it leaves no process to other jobs"
    );
    let stopped = host.stop(&id);
    assert_eq!(stopped.stop_code, Some(StopCode::UserInitiated));
}

#[test]
fn a_timeout_is_enforced_under_a_flood_of_processes_at_a_small_cpu_limit() {
    let Some(host) = host() else { return };
    let spec = TaskSpec { pids: 400, cpu_units: 256, ..spec("flood") };
    let id = host.start(spec);
    let flood = "exec perl -e 'while (1) { fork }'";
    let mut floods: Vec<_> = (0..3).map(|_| host.client(&id)).collect();
    for client in &mut floods {
        client.timeout_ms = 4_000;
        client.start(flood);
    }
    for mut client in floods {
        let begin = Instant::now();
        let done = client.until_end();
        assert!(matches!(done.exit.cause, Cause::TimedOut { .. }), "{done:?}");
        // 4 s, 5 s until SIGKILL, and the end of its processes.
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    }
    host.stop(&id);
}

#[test]
fn pid_1_has_a_higher_priority_than_commands_and_commands_can_not_take_it() {
    if !is_root("no process can get a higher priority") {
        return;
    }
    let Some(host) = host() else { return };
    let id = host.start(spec("priority"));
    for user in ["shelluser", "root"] {
        let done = host.sh_as(&id, user, "cut -d' ' -f19 /proc/1/stat; nice; nice -n -1 nice 2>&1");
        let lines: Vec<&str> = done.stdout.lines().collect();
        assert_eq!((lines[0], lines[1], lines.last()), ("-10", "0", Some(&"0")), "{done:?}");
    }
    host.stop(&id);
}

#[test]
fn processes_beyond_the_limit_are_denied() {
    let Some(host) = host() else { return };
    let id = host.start(TaskSpec { pids: 20, ..spec("pids") });
    let line = "perl -e 'for (1..100) { my $p = fork; defined $p or last; $p or sleep(60), exit; $n++ } \
                print $n < 20 ? qq(few\\n) : qq(many\\n); kill 9, 0'";
    let done = host.sh(&id, line);
    assert_ne!(done.stdout, "many\n");
    host.stop(&id);
}

#[test]
fn cpu_time_is_limited() {
    let Some(host) = host() else { return };
    let id = host.start(TaskSpec { cpu_units: 128, ..spec("cpu") });
    // With an eighth of a CPU, using 0.1 s of CPU time takes about 0.8 s, minus the quota of a period.
    let line = "perl -MTime::HiRes=time,clock -e '$t = time; $c = clock; 1 while clock() - $c < 0.1; \
                print time() - $t > 0.4 ? qq(slow\\n) : time() - $t'";
    assert_eq!(host.sh(&id, line).stdout, "slow\n");
    host.stop(&id);
}

#[test]
fn what_nobody_reads_from_sockets_is_limited_with_the_memory() {
    let Some(host) = host() else { return };
    let id = host.start(TaskSpec { memory_mib: 128, ..spec("sockets") });
    // Without a limit the sockets hold 185 MiB.
    let line = "perl -MSocket -e 'for (1..1500) { socket(my $s, AF_INET, SOCK_DGRAM, 0) or last; \
                  bind($s, pack_sockaddr_in(0, INADDR_LOOPBACK)); my $own = getsockname $s; \
                  send($s, q(x) x 1400, MSG_DONTWAIT, $own) for 1..120; push @s, $s } \
                  for my $s (@s) { $n += length $d while defined recv($s, $d, 2000, MSG_DONTWAIT) } \
                  print scalar(@s), q( ), $n >> 20'";
    let done = host.sh(&id, line);
    // On cgroup v2 it counts with the rest of the memory.
    if done.exit.cause != Cause::OomKilled {
        let (sockets, mib) = done.stdout.split_once(' ').unwrap_or_else(|| panic!("{done:?}"));
        assert_eq!(sockets, "1500");
        assert!(mib.parse::<u32>().unwrap() < 100, "{mib} MiB");
    }
    host.stop(&id);
}
