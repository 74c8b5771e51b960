//! How a command is started: its user, directory, environment, input and privileges.

use std::fs;

use runner::protocol::{Cause, Event, PROTOCOL_VERSION, Request, Start};

use crate::shell::{Shell, argv, is_root, sh};

#[test]
fn a_probe_is_answered_with_version_and_protocol() {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let ready = Event::Ready { version, protocol: PROTOCOL_VERSION };
    assert_eq!(Shell::boot().ask(Request::Probe), ready);
}

#[test]
fn a_command_ends_with_its_own_code_and_usage() {
    let ran = Shell::boot().run(sh("job_1", "exit 7"));
    assert!(ran.started);
    assert_eq!(ran.code(), 7);
    assert!(ran.exit.usage.max_rss_bytes > 0);
}

#[test]
fn the_environment_holds_nothing_of_pid_1() {
    let env = vec![("GREETING".to_owned(), "a=b \n".to_owned()), ("TERM".into(), "mine".into())];
    let ran = Shell::boot().run(Start { env, ..argv("job_1", &["env", "-0"]) });
    let mut names: Vec<&str> =
        ran.text().split_terminator('\0').map(|pair| pair.split_once('=').unwrap().0).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "EPHEMERAL",
            "GREETING",
            "HOME",
            "LANG",
            "PATH",
            "PYTHONUNBUFFERED",
            "SHELL",
            "TERM",
            "USER"
        ]
    );
    assert!(ran.text().contains("GREETING=a=b \n\0"));
    assert!(ran.text().contains("TERM=mine\0"));
}

#[test]
fn a_command_has_no_privileges_left() {
    let ran = Shell::boot().run(sh("job_1", "cat /proc/self/status; umask; cat /proc/self/stat"));
    let status = |name: &str| {
        let line = ran.text().lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(':').unwrap().1.trim().to_owned()
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb", "SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(status(set), "0000000000000000", "{set}");
    }
    assert_eq!(status("NoNewPrivs"), "1");
    assert!(ran.text().contains("\n0022\n"));
    if is_root() {
        assert_eq!(status("CapBnd"), "0000000000000000");
        assert_ne!(status("Uid").split_whitespace().next(), Some("0"));
        assert_eq!(ran.code(), 0);
    }
}

#[test]
fn a_command_has_fixed_resource_limits() {
    let ran = Shell::boot().run(sh("job_1", "cat /proc/self/limits"));
    let limit = |name: &str| {
        let line = ran.text().lines().find(|line| line.starts_with(name)).unwrap();
        let mut words = line[name.len()..].split_whitespace();
        [words.next().unwrap(), words.next().unwrap()].map(|text| text.parse::<u64>().unwrap())
    };
    assert_eq!(limit("Max core file size"), [1, 1]);
    assert_eq!(limit("Max realtime priority"), [0, 0]);
    // A lower hard limit of the test's own process stays.
    for (name, maximum) in [
        ("Max open files", 4096),
        ("Max locked memory", 64 << 10),
        ("Max msgqueue size", 800 << 10),
    ] {
        let [soft, hard] = limit(name);
        assert!(soft == hard && hard <= maximum, "{name}: {soft} {hard}");
    }
}

#[test]
fn a_command_leads_a_session_of_its_own_and_inherits_no_descriptor() {
    let ran =
        Shell::boot().run(sh("job_1", "echo $$; cut -d' ' -f5,6 /proc/$$/stat; ls /proc/$$/fd"));
    let mut lines = ran.text().lines();
    let pid = lines.next().unwrap();
    assert_eq!(lines.next().unwrap(), format!("{pid} {pid}"));
    assert_eq!(lines.collect::<Vec<_>>(), ["0", "1", "2"]);
}

#[test]
fn a_command_never_runs_as_root() {
    let shell = Shell::boot();
    let ran = shell.run(Start { user: "root".into(), ..sh("job_1", "id") });
    assert!(matches!(ran.exit.cause, Cause::SpawnFailed { .. }), "{ran:?}");
    assert!(!ran.started && ran.stdout.is_empty());
}

#[test]
fn root_can_not_start_the_runner_with_keep_user() {
    if !is_root() {
        return println!("SKIPPED: needs root");
    }
    let directory = tempfile::tempdir().unwrap();
    let output = Shell::command(&directory).arg("--keep-user").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("as root"));
}

#[test]
fn an_unknown_user_is_an_error() {
    if !is_root() {
        return println!("SKIPPED: without root the user is never looked up");
    }
    let ran = Shell::boot().run(Start { user: "who?".into(), ..sh("job_1", "id") });
    let Cause::SpawnFailed { message, .. } = &ran.exit.cause else { panic!("{ran:?}") };
    assert!(message.contains("no such user"), "{message}");
}

#[test]
fn a_missing_program_and_a_missing_directory_are_different_errors() {
    let shell = Shell::boot();
    for program in ["no-such-program", "/no/such/program"] {
        let ran = shell.run(argv(&program.replace('/', "_"), &[program]));
        let Cause::NotFound { message } = &ran.exit.cause else { panic!("{ran:?}") };
        assert!(message.contains(program) && !ran.started, "{message}");
    }
    let ran = shell.run(Start { cwd: Some("/no/such/directory".into()), ..sh("cwd", "true") });
    let Cause::SpawnFailed { message, .. } = &ran.exit.cause else { panic!("{ran:?}") };
    assert!(message.contains("working directory /no/such/directory"), "{message}");
}

#[test]
fn a_shell_reports_a_missing_program_itself() {
    let ran = Shell::boot().run(sh("job_1", "no-such-program"));
    assert_eq!(ran.code(), 127);
    assert!(String::from_utf8_lossy(&ran.stderr).contains("not found"));
}

#[test]
fn an_invalid_command_fails_to_spawn() {
    let shell = Shell::boot();
    let nul = shell.run(argv("nul", &["echo", "a\0b"]));
    let none = shell.run(argv("none", &[]));
    let name = shell.run(Start { env: vec![("A=".into(), "b".into())], ..sh("name", "true") });
    let plain = shell.run(argv("plain", &["/etc/passwd"]));
    for ran in [nul, none, name, plain] {
        assert!(matches!(ran.exit.cause, Cause::SpawnFailed { .. }), "{ran:?}");
    }
}

#[test]
fn a_home_that_is_missing_is_replaced_by_the_root_directory() {
    if !is_root() {
        return println!("SKIPPED: without root there is no user without a home to switch to");
    }
    let ran = Shell::boot().run(Start { cwd: None, ..sh("job_1", "pwd; echo $HOME") });
    assert_eq!(ran.text(), "/\n/nonexistent\n");
}

#[test]
fn the_oom_killer_prefers_commands_to_the_runner() {
    let ran = Shell::boot().run(argv("job_1", &["cat", "/proc/self/oom_score_adj"]));
    assert!(ran.text().trim().parse::<i32>().unwrap() >= 500, "{}", ran.text());
}

#[test]
fn a_command_may_reopen_its_own_output() {
    let start = sh("job_1", "cat /dev/stdin > /dev/stdout; echo err > /dev/stderr");
    let ran = Shell::boot().run(Start { stdin: b"in\n".to_vec(), ..start });
    assert_eq!((ran.text(), ran.stderr.as_slice(), ran.code()), ("in\n", &b"err\n"[..], 0));
}

#[test]
fn other_users_can_access_neither_the_socket_nor_the_jobs() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::boot();
    shell.run(sh("job_1", "true"));
    let mode = |name: &str| {
        fs::metadata(shell.directory.path().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!([mode("sock"), mode("jobs"), mode("jobs/job_1")], [0o600, 0o700, 0o700]);
}

/// On Fargate, PID 1's environment leads to the credentials of the task.
#[test]
fn a_command_reaches_neither_the_runner_nor_what_the_runner_was_given() {
    use std::os::unix::fs::PermissionsExt;
    if !is_root() {
        return println!("SKIPPED: without root commands have the user of the runner");
    }
    let shell = Shell::boot();
    let world_readable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(shell.directory.path(), world_readable).unwrap();
    let socket = shell.socket().display().to_string();
    let line = "for of in environ mem maps fd cwd exe; do \
                  cat /proc/$PPID/$of 2>&1 | grep -a SECRET_OF_PID_1; \
                  ls /proc/$PPID/$of/ >/dev/null 2>&1 && echo entered $of; done; \
                cat /proc/$PPID/environ 2>&1 >/dev/null | grep -o 'Permission denied'; \
                perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); \
                  connect(S, pack_sockaddr_un($ARGV[0])) ? print qq(reached\\n) : print qq($!\\n)' ";
    let ran = shell.run(sh("job_1", &format!("{line}{socket}")));
    if String::from_utf8_lossy(&ran.stderr).contains("perl: not found") {
        return println!("SKIPPED: there is no perl to connect with");
    }
    assert_eq!(ran.text(), "Permission denied\nPermission denied\n");
}
