//! What is said of the processes and the use of commands in shells.

use runner::protocol::Start;

use super::{FOUND, line};
use crate::shell::Shell;

#[test]
fn a_background_process_stays_and_does_not_hold_the_job() {
    for shell in Shell::boot_both() {
        let command =
            "sleep 600 & until grep -q sleep /proc/$!/comm; do :; done; echo $!; jobs | wc -l";
        let ran = shell.run(line("job_1", command));
        assert_eq!((ran.code(), ran.exit.leftover), (0, 1), "{ran:?}");
        assert!(
            ran.exit.background.iter().any(|process| process.command == "sleep 600"),
            "{ran:?}"
        );
        let pid = ran.text().lines().next().unwrap().to_owned();
        let next = shell.run(line("job_2", &format!("kill -0 {pid}; echo $?; jobs | wc -l")));
        // It is neither in the next command's output nor among its processes.
        assert_eq!((next.text(), next.exit.leftover, next.exit.shell), ("0\n1\n", 0, FOUND));
        let end = format!("kill {pid}; wait {pid}; echo $?");
        assert_eq!(shell.run(line("job_3", &end)).text(), "143\n");
    }
}

#[test]
fn output_of_a_background_process_is_not_that_of_a_later_command() {
    for shell in Shell::boot_both() {
        let command = "(while :; do echo noise; done) & echo $!";
        let ran = shell.run(Start { max_output_bytes: 100, ..line("job_1", command) });
        assert!(ran.text().len() <= 100);
        let next = shell.run(line("job_2", "echo quiet; sleep 0.2"));
        assert_eq!(next.text(), "quiet\n");
        assert_eq!(shell.run(line("job_3", "kill $!; wait; echo quiet")).text(), "quiet\n");
    }
}

#[test]
fn a_process_that_is_started_after_its_command_can_still_write() {
    for shell in Shell::boot_both() {
        // The process that is left starts another one and ends, which the shell reaps. Each reader has a pipe of
        // its own: while a writer still has one open, another reader would find its end instead of a line.
        let start = "go=$(mktemp -u); mkfifo $go $go.next; \
                     (read x < $go; (read x < $go.next; echo out && echo written > $go) & ) &";
        assert_eq!(shell.run(line("job_1", start)).exit.leftover, 1);
        assert_eq!(shell.run(line("job_2", "echo > $go; wait; sh -c :")).code(), 0);
        let ran = shell.run(line("job_3", "echo > $go.next; cat $go; rm $go $go.next"));
        assert_eq!(ran.text(), "written\n");
    }
}

#[test]
fn each_command_counts_its_own_processor_time() {
    for shell in Shell::boot_both() {
        let work = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let busy = shell.run(line("job_1", work));
        let idle = shell.run(line("job_2", ":"));
        assert!(busy.exit.usage.cpu_ms >= 50, "{:?}", busy.exit.usage);
        assert!(idle.exit.usage.cpu_ms < busy.exit.usage.cpu_ms, "{:?}", idle.exit.usage);
        let child = shell.run(line("job_3", &format!("sh -c '{work}'")));
        assert!(child.exit.usage.cpu_ms >= 50, "{:?}", child.exit.usage);
    }
}

#[test]
fn memory_of_an_earlier_command_is_not_the_peak_of_a_later_one() {
    let Some(shell) = Shell::boot_with_cgroup() else { return };
    let large = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); unset x";
    let peak =
        |job: &str, command: &str| shell.run(line(job, command)).exit.usage.memory_peak_bytes;
    let large = peak("job_1", large);
    assert!(large.is_some_and(|bytes| bytes > 60_000_000), "{large:?}");
    // Where the peak can't be reset, it is not reported.
    let small = peak("job_2", ":");
    assert!(small.is_none_or(|bytes| bytes < 60_000_000), "{small:?}");
}
