//! Lists and signals processes of commands.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use runner::protocol::files::{FrameKind, HEAD_BYTES, decode_message, read_head};
use runner::protocol::processes::{
    MAX_ARGUMENT_BYTES, ProcessAction, ProcessReply, ProcessRequest, RunningProcess,
};
use runner::protocol::{Cause, Event, Message, Request, Start};

use crate::shell::{Caller, Shell, argv, is_root, sh};

fn ask(shell: &Shell, action: ProcessAction) -> ProcessReply {
    let mut stream = UnixStream::connect(shell.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let request = Request::Processes(ProcessRequest { user: sh("job", "").user, action });
    stream.write_all(&request.encode().unwrap()).unwrap();
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).unwrap();
    let (kind, length) = read_head(head).unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(kind, FrameKind::Message, "{}", String::from_utf8_lossy(&body));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "more than one reply");
    decode_message(&body).unwrap()
}

fn list(shell: &Shell) -> Vec<RunningProcess> {
    let ProcessReply::Listed { processes, truncated } = ask(shell, ProcessAction::List) else {
        panic!("no list")
    };
    assert!(!truncated);
    processes
}

fn signal(shell: &Shell, pid: i32, started_ms: Option<i64>, signal: i32) -> ProcessReply {
    ask(shell, ProcessAction::Signal { pid, started_ms, signal })
}

/// Starts a job, and waits until it has printed a line.
fn begin(shell: &Shell, start: Start) -> (Caller, String) {
    let mut caller = shell.connect();
    caller.send(&Request::Start(start));
    let line = String::from_utf8(caller.until("\n")).unwrap().trim().to_owned();
    (caller, line)
}

#[test]
fn processes_are_listed_with_the_job_that_started_them() {
    for shell in Shell::boot_both() {
        assert!(list(&shell).is_empty(), "the runner has no processes of commands");
        let start = Start { background: true, ..sh("job_1", "sleep 1000 & echo $!") };
        let left = shell.run(start).text().trim().to_owned();
        let (_caller, pid) = begin(&shell, sh("job_2", "echo $$; exec sleep 1001"));
        // The kernel counts the memory of a program that has just begun a little later.
        let found = std::iter::repeat_with(|| list(&shell))
            .take(100_000)
            .find(|all| {
                let programs = all.iter().filter(|one| one.name == "sleep");
                programs.filter(|one| one.memory_bytes > 0).count() == 2
            })
            .expect("both are listed");
        let of = |job: &str| found.iter().find(|one| one.job_id == job).unwrap().clone();
        assert_eq!(of("job_1").pid.to_string(), left);
        let second = of("job_2");
        assert_eq!(second.pid.to_string(), pid);
        assert_eq!(second.arguments, ["sleep", "1001"]);
        assert!(!second.arguments_truncated);
        if is_root() {
            assert_eq!(second.user, "nobody");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let age = i64::try_from(now).unwrap() - second.started_ms;
        assert!((-1000..300_000).contains(&age), "{age} ms");
        let pids: Vec<i32> = found.iter().map(|one| one.pid).collect();
        assert!(!pids.contains(&i32::try_from(shell.process.id()).unwrap()));
    }
}

#[test]
fn long_arguments_are_cut_and_never_break_the_list() {
    let shell = Shell::boot();
    let mut callers = Vec::new();
    for number in 0..8 {
        let bytes = format!("\u{1}{}", "\u{7}".repeat(120_000));
        let line = ["sh", "-c", "echo ready; sleep 1000; :", bytes.as_str()];
        callers.push(begin(&shell, argv(&format!("job_{number}"), &line)).0);
    }
    // Until it is executed, each new process is a copy of its shell.
    let all = std::iter::repeat_with(|| list(&shell))
        .take(100_000)
        .find(|all| all.iter().filter(|one| one.name == "sleep").count() == 8)
        .expect("all are listed");
    let shells: Vec<_> = all.iter().filter(|one| one.name == "sh").collect();
    assert_eq!(shells.len(), 8);
    for one in shells {
        let bytes = one.arguments.iter().map(String::len).sum::<usize>();
        assert!(one.arguments_truncated && bytes <= MAX_ARGUMENT_BYTES, "{bytes}");
    }
    assert!(!format!("{:?}", all[0]).contains("ready"), "{:?}", all[0]);
}

#[test]
fn a_signal_reaches_one_process_only() {
    for shell in Shell::boot_both() {
        let line = "sh -c 'echo $$; exec sleep 1000'; echo $?; exec sleep 1001";
        let (mut caller, pid) = begin(&shell, sh("job_1", line));
        let pid = pid.parse().unwrap();
        let started = list(&shell).iter().find(|one| one.pid == pid).unwrap().started_ms;
        let other = signal(&shell, pid, Some(started + 5000), libc_term());
        assert_eq!(other, ProcessReply::NoSuchProcess, "it was started at another time");
        assert_eq!(signal(&shell, pid, Some(started), libc_term()), ProcessReply::Signalled);
        caller.until("143\n");
        assert_eq!(signal(&shell, pid, None, libc_term()), ProcessReply::NoSuchProcess);
        shell.ask(Request::Cancel { job_id: "job_1".into() });
        assert!(matches!(caller.finish().exit.cause, Cause::Cancelled { .. }));
    }
}

#[test]
fn only_processes_of_commands_can_be_signalled() {
    for shell in Shell::boot_both() {
        let (_caller, pid) = begin(&shell, sh("job_1", "echo $$; sleep 1000"));
        let parent = list(&shell).iter().find(|one| one.pid.to_string() == pid).unwrap().parent_pid;
        let runner = i32::try_from(shell.process.id()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        for other in [0, 1, -1, i32::MIN, i32::MAX, -runner, runner, parent, own] {
            let reply = signal(&shell, other, None, 9);
            assert_eq!(reply, ProcessReply::NoSuchProcess, "{other}");
        }
        let pid = pid.parse().unwrap();
        for number in [0, -1, 65, 9999] {
            let reply = signal(&shell, pid, None, number);
            assert!(matches!(reply, ProcessReply::Refused { .. }), "{number}: {reply:?}");
        }
        assert!(list(&shell).iter().any(|one| one.pid == pid), "nothing has ended it");
        assert!(matches!(shell.ask(Request::Probe), Event::Ready { .. }));
    }
}

fn libc_term() -> i32 {
    rustix::process::Signal::TERM.as_raw()
}
