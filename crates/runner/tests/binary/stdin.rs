//! A command's standard input is a pipe.

use runner::protocol::Start;

use crate::shell::{Shell, argv, sh};

fn with_stdin(stdin: &[u8], line: &str) -> Start {
    Start { stdin: stdin.to_vec(), ..sh("job_1", line) }
}

#[test]
fn stdin_larger_than_any_pipe_arrives_and_ends() {
    let stdin = vec![b'x'; 900_000];
    let ran = Shell::boot().run(Start { stdin: stdin.clone(), ..argv("job_1", &["cat"]) });
    assert!(ran.stdout == stdin);
}

#[test]
fn no_stdin_is_an_empty_one() {
    let ran = Shell::boot().run(sh("job_1", "cat; echo done; ls -l /proc/self/fd/0"));
    assert!(ran.text().starts_with("done\n") && ran.text().contains("pipe:"), "{}", ran.text());
}

#[test]
fn a_command_can_wait_for_stdin_by_epoll() {
    let line = "perl -e 'require q(syscall.ph)' 2>/dev/null; \
                python3 -c 'import select,os; p=select.epoll(); p.register(0); p.poll(); \
                print(os.read(0, 100))' || echo no python";
    for (stdin, expected) in [(&b"in"[..], "b'in'\n"), (b"", "b''\n")] {
        let ran = Shell::boot().run(with_stdin(stdin, line));
        if ran.text() == "no python\n" && String::from_utf8_lossy(&ran.stderr).contains("not found")
        {
            return println!("SKIPPED: there is no python3");
        }
        assert_eq!(ran.text(), expected, "{:?}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn asyncio_can_connect_to_stdin() {
    let line = "python3 -c 'import asyncio,sys\n\
                async def main():\n\
                \x20 reader = asyncio.StreamReader()\n\
                \x20 protocol = asyncio.StreamReaderProtocol(reader)\n\
                \x20 await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)\n\
                \x20 print(await reader.read())\n\
                asyncio.run(main())'";
    let ran = Shell::boot().run(with_stdin(b"lines\n", line));
    if String::from_utf8_lossy(&ran.stderr).contains("not found") {
        return println!("SKIPPED: there is no python3");
    }
    assert_eq!(ran.text(), "b'lines\\n'\n", "{:?}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn input_that_was_read_is_not_read_again() {
    let ran = Shell::boot().run(with_stdin(b"one\ntwo\n", "read l; echo $l; cat /dev/stdin"));
    assert_eq!(ran.text(), "one\ntwo\n");
}

#[test]
fn a_command_that_does_not_read_its_stdin_ends() {
    let stdin = vec![b'x'; 1_000_000];
    let shell = Shell::boot();
    for line in ["exit 3", "exec <&-; sleep 0.1; exit 3", "head -c 3 >/dev/null; exit 3"] {
        let id = format!("job_{}", line.len());
        let ran = shell.run(Start { job_id: id, ..with_stdin(&stdin, line) });
        assert_eq!(ran.code(), 3, "{line}");
    }
}
