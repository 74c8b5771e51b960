//! Jobs that run in a shell whose state survives them.

use runner::protocol::{Cause, Event, Exit, MAX_SHELLS, Request, ShellUse, Start};

use crate::shell::{Ran, Shell, sh};

mod accounting;
mod hostile;
mod stop;

/// A job in the shell `main`.
pub(crate) fn line(job_id: &str, command: &str) -> Start {
    Start { shell: Some("main".into()), prefer_bash: true, ..sh(job_id, command) }
}

/// The same where that shell is `sh`, as in an image without bash.
pub(crate) fn sh_line(job_id: &str, command: &str) -> Start {
    Start { prefer_bash: false, ..line(job_id, command) }
}

pub(crate) const FOUND: Option<ShellUse> = Some(ShellUse { is_new: false, has_ended: false });
pub(crate) const NEW: Option<ShellUse> = Some(ShellUse { is_new: true, has_ended: false });
pub(crate) const ENDED: Option<ShellUse> = Some(ShellUse { is_new: false, has_ended: true });

/// Runs command lines one after the other in bash and in sh, with and without cgroups, and compares the exit
/// code and the output of each.
#[track_caller]
fn check(lines: &[(&str, i32, &str)]) {
    for shell in Shell::boot_both() {
        for start in [line, sh_line] {
            let name = if start("job", "").prefer_bash { "bash" } else { "sh" };
            for (number, (command, code, output)) in lines.iter().enumerate() {
                let start = start(&format!("{name}_{number}"), command);
                let ran = shell.run(Start { shell: Some(name.into()), ..start });
                let expected = if number == 0 { NEW } else { FOUND };
                assert_eq!(
                    (ran.code(), ran.text(), ran.exit.shell),
                    (*code, *output, expected),
                    "{name}: {command}: {}",
                    String::from_utf8_lossy(&ran.stderr)
                );
            }
        }
    }
}

#[test]
fn the_state_of_a_shell_survives_a_command() {
    check(&[
        (
            "x=1; f() { echo f $x; }; export Y=2; alias greet='echo hello'; cd /usr; umask 077",
            0,
            "",
        ),
        ("f; echo $Y $(pwd) $(umask); sh -c 'echo $Y'", 0, "f 1\n2 /usr 0077\n2\n"),
        ("greet", 0, "hello\n"),
        ("set -f; echo *", 0, "*\n"),
        ("echo /*bin; set +f", 0, "/*bin\n"),
        ("set -- a b", 0, ""),
        ("echo $# $2; unset x; unalias greet", 0, "2 b\n"),
        ("echo ${x-none}", 0, "none\n"),
        ("trap 'echo my trap' USR1", 0, ""),
        ("kill -USR1 $$", 0, "my trap\n"),
    ]);
}

#[test]
fn a_command_finds_the_exit_code_of_the_one_before() {
    check(&[
        ("sh -c 'exit 7'", 7, ""),
        ("echo $?", 0, "7\n"),
        ("echo $?; ! true", 1, "0\n"),
        ("test $? = 1", 0, ""),
        ("return 5", 5, ""),
    ]);
}

#[test]
fn broken_text_fails_without_ending_the_shell() {
    check(&[
        ("x=1", 0, ""),
        ("if", 2, ""),
        ("echo 'unbalanced", 2, ""),
        ("echo $(", 2, ""),
        ("cat <<E\nwithout an end $x\n", 0, "without an end 1\n"),
        ("nosuchprogram", 127, ""),
        ("/", 126, ""),
        ("# a comment", 0, ""),
        ("", 0, ""),
        ("echo $x", 0, "1\n"),
    ]);
}

#[test]
fn redirections_of_the_shell_hold_for_one_command_only() {
    check(&[
        ("exec >/dev/null 2>&1; echo lost", 0, ""),
        ("echo found", 0, "found\n"),
        ("exec 3</etc/passwd; exec 0<&-", 0, ""),
        ("head -c 5 <&3", 0, "root:"),
        ("cat; echo empty", 0, "empty\n"),
        ("exec 1>&- 2>&-", 0, ""),
        ("set -C; echo in", 0, "in\n"),
    ]);
}

#[test]
fn a_shell_without_a_path_or_its_directory_goes_on() {
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let remove = format!("cd {0}; mkdir d; cd d; rmdir ../d", directory.path().display());
    check(&[
        (&remove, 0, ""),
        ("echo here; cd /", 0, "here\n"),
        ("unset PATH; echo ok", 0, "ok\n"),
        ("IFS=/; PATH=/usr/bin:/bin; ls -d /", 0, "/\n"),
        ("x=1; readonly x", 0, ""),
        ("echo $x", 0, "1\n"),
    ]);
}

#[test]
fn each_command_has_its_own_input_and_output() {
    for shell in Shell::boot_both() {
        let both = "head -c 3; echo; cat | wc -c; echo error >&2";
        let input = [b"abc".to_vec(), vec![0; 200_000]].concat();
        let first = shell.run(Start { stdin: input, ..line("job_1", both) });
        assert_eq!((first.text(), &first.stderr[..]), ("abc\n200000\n", &b"error\n"[..]));
        let merged = "for i in 1 2 3; do echo o$i; echo e$i >&2; done";
        let merged = shell.run(Start { merge: true, ..line("job_2", merged) });
        assert_eq!((merged.text(), merged.stderr.len()), ("o1\ne1\no2\ne2\no3\ne3\n", 0));
        let empty = shell.run(line("job_3", "cat"));
        assert_eq!((empty.code(), empty.stdout.len(), empty.exit.shell), (0, 0, FOUND));
        let bytes: Vec<u8> = (0..=255).collect();
        let raw = shell.run(Start { stdin: bytes.clone(), ..line("job_4", "cat; cat <&- >&2") });
        assert_eq!(raw.stdout, bytes);
    }
}

#[test]
fn a_long_command_and_long_output_are_complete() {
    for shell in Shell::boot_both() {
        let text = format!(": {}\necho end", "'x\u{20ac}' ".repeat(143_000));
        assert!(text.len() > 1_000_000);
        assert_eq!(shell.run(line("job_1", &text)).text(), "end\n");
        let flood = "head -c 100000000 /dev/zero; echo the end";
        let ran = shell.run(Start { max_output_bytes: 1000, ..line("job_2", flood) });
        assert_eq!((ran.exit.stdout.bytes, ran.exit.stdout.kept), (100_000_008, 1000));
        let ran = shell.run(Start { max_output_bytes: 1 << 22, ..line("job_3", "seq 300000") });
        assert!(ran.stdout.ends_with(b"\n299999\n300000\n"));
        assert_eq!(shell.run(line("job_4", "echo a\0b")).exit.shell, None);
    }
}

#[test]
fn a_command_that_ends_its_shell_decides_the_exit_code() {
    for shell in Shell::boot_both() {
        for (number, (command, cause)) in [
            ("exit 3", Cause::Exited { code: 3 }),
            ("exec sh -c 'echo replaced; exit 4'", Cause::Exited { code: 4 }),
            ("set -e; false; echo not reached", Cause::Exited { code: 1 }),
            ("kill -9 $$", Cause::Signalled { signal: libc::SIGKILL }),
            ("trap 'exit 9' EXIT; exit 1", Cause::Exited { code: 9 }),
        ]
        .into_iter()
        .enumerate()
        {
            let first = shell.run(line(&format!("first_{number}"), "x=1"));
            assert_eq!((first.code(), first.exit.shell), (0, NEW), "{command}");
            let ran = shell.run(line(&format!("job_{number}"), command));
            assert_eq!((&ran.exit.cause, ran.exit.shell), (&cause, ENDED), "{command}");
            assert!(!ran.text().contains("not"), "{command}");
            let next = shell.run(line(&format!("next_{number}"), "echo ${x-none}; exit"));
            let new = Some(ShellUse { is_new: true, has_ended: true });
            assert_eq!((next.text(), next.exit.shell), ("none\n", new), "{command}");
        }
    }
}

#[test]
fn an_option_that_ends_a_shell_holds_for_the_next_command_too() {
    let shell = Shell::boot();
    assert_eq!(shell.run(line("job_1", "set -eu")).exit.shell, NEW);
    let ran = shell.run(line("job_2", "echo on; echo $undefined; echo not reached"));
    assert_eq!((ran.text(), ran.exit.shell), ("on\n", ENDED));
    assert_eq!(shell.run(line("job_3", "echo $undefined")).exit.shell, NEW);
}

#[test]
fn a_shell_that_ends_between_two_commands_is_replaced() {
    for shell in Shell::boot_both() {
        let pid = shell.run(line("job_1", "x=1; echo $$")).text().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let mut number = 1;
        let ran = loop {
            number += 1;
            // The signal is delivered, but the runner may not have been told of the end yet.
            let ran = shell.run(line(&format!("job_{number}"), "echo ${x-none}"));
            if ran.exit.shell == NEW {
                break ran;
            }
            assert_eq!((ran.text(), ran.exit.shell), ("", ENDED));
        };
        assert_eq!(ran.text(), "none\n");
    }
}

#[test]
fn shells_with_different_names_are_independent() {
    for shell in Shell::boot_both() {
        let named = |name: &str, job: &str, command: &str| Start {
            shell: Some(name.into()),
            ..line(job, command)
        };
        let mut slow = shell.connect();
        slow.send(&Request::Start(named(
            "a",
            "job_1",
            "x=a; echo on; read line </dev/tty; sleep 600",
        )));
        slow.until("on");
        let other = shell.run(named("b", "job_2", "echo ${x-none}"));
        assert_eq!((other.text(), other.exit.shell), ("none\n", NEW));
        // Nothing was run, and the id can be used again.
        let busy = shell.ask(Request::Start(named("a", "job_3", "echo $x")));
        let Event::Error { message, retryable: true } = busy else { panic!("{busy:?}") };
        assert!(message.contains("\"a\" runs another command"), "{message}");
        assert_eq!(shell.ask(Request::Cancel { job_id: "job_1".into() }), Event::Ok);
        slow.finish();
        assert_eq!(shell.run(named("a", "job_3", "echo $x")).text(), "a\n");
    }
}

#[test]
fn the_number_of_shells_is_limited() {
    let shell = Shell::boot();
    let named = |number: usize, command: &str| Start {
        shell: Some(format!("shell{number}")),
        ..line(&format!("job_{number}_{command}"), command)
    };
    for number in 0..MAX_SHELLS {
        assert_eq!(shell.run(named(number, "true")).exit.shell, NEW);
    }
    let Exit { cause: Cause::SpawnFailed { message, .. }, .. } =
        shell.run(named(MAX_SHELLS, "true")).exit
    else {
        panic!("a shell too many")
    };
    assert!(message.starts_with("16 shells with names are open"), "{message}");
    assert_eq!(shell.run(named(3, "exit")).exit.shell, ENDED);
    assert_eq!(shell.run(named(MAX_SHELLS, "false")).exit.shell, NEW);
}

#[test]
fn a_shell_belongs_to_one_user() {
    if !crate::shell::is_root() {
        println!("SKIPPED: commands can't have different users without root");
        return;
    }
    let shell = Shell::boot();
    shell.run(line("job_1", "x=1"));
    let other = shell.run(Start { user: "daemon".into(), ..line("job_2", "echo $x") });
    let Cause::SpawnFailed { message, .. } = &other.exit.cause else { panic!("{other:?}") };
    assert_eq!(message, "the shell \"main\" belongs to the user \"nobody\"");
    assert_eq!(shell.run(line("job_3", "echo $x")).text(), "1\n");
}

#[test]
fn only_command_lines_run_in_a_shell() {
    let shell = Shell::boot();
    let ran: Ran = shell.run(Start { argv: vec!["id".into()], ..line("job_1", "") });
    assert!(matches!(ran.exit.cause, Cause::SpawnFailed { .. }), "{ran:?}");
}

#[test]
fn a_job_in_a_shell_runs_once() {
    let shell = Shell::boot();
    let first = shell.run(line("job_1", "x=${x}1; echo $x"));
    let again = shell.run(line("job_1", "x=${x}1; echo $x"));
    assert_eq!((first.text(), again.text(), again.exit.shell), ("1\n", "1\n", NEW));
    assert_eq!(shell.run(line("job_2", "echo $x")).text(), "1\n");
}
