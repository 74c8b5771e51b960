"""Shells and commands on a real server."""

from __future__ import annotations

import time

import pytest
from conftest import Server

from ephemeral_shells import Chunk, Client, CommandError, JobFailedError, Shell
from ephemeral_shells.errors import InvalidRequestError, NotFoundError, SessionEndedError


def test_a_command_has_output_and_an_exit_code(local: Server) -> None:
    with Shell.start(ttl=600) as shell:
        result = shell.run("echo out; echo error >&2; exit 3")
        assert (result.stdout, result.stderr) == ("out\n", "error\n")
        assert (result.status, result.exit_code, result.ok) == ("completed", 3, False)
        assert result.usage is not None


def test_the_shell_is_stopped_at_the_end_of_the_block(client: Client) -> None:
    with Shell.start(client=client) as shell:
        assert shell.wait_ready()["status"] == "ready"
    shell.stop()
    assert shell.info()["status"] == "stopped"
    assert shell.info().get("reason") == "user_stop"
    with pytest.raises(SessionEndedError):
        shell.run("true")


def test_the_shell_is_stopped_after_an_error_in_the_block(client: Client) -> None:
    with pytest.raises(ZeroDivisionError), Shell.start(client=client) as shell:
        shell.run("true")
        raise ZeroDivisionError
    assert shell.info()["status"] in ("stopping", "stopped")


def test_options_reach_the_shell_and_the_command(client: Client) -> None:
    with Shell.start(
        client=client, ttl=300, idle_timeout=60, env={"A": "1"}, metadata={"k": "v"}, disk=128
    ) as shell:
        session = shell.info()
        assert (session["ttlSeconds"], session["metadata"]) == (300, {"k": "v"})
        assert session["size"]["diskMiB"] == 128
        assert session.get("idleTimeoutSeconds") == 60
        result = shell.run(
            "cat; echo $A$B; pwd", env={"B": "2"}, cwd="/tmp", stdin="in\n", shell="sh", timeout=5
        )
        assert result.stdout == "in\n12\n/tmp\n"
        assert shell.run(["printf", "%s|", "a b", "c"]).stdout == "a b|c|"


def test_files_are_there_before_the_first_command(client: Client) -> None:
    files: dict[str, str | bytes] = {"in/text": "grün\n", "bytes": b"\x00\xff"}
    with Shell.start(client=client, files=files) as shell:
        assert shell.run("cat in/text; wc -c < bytes").stdout == "grün\n2\n"


def test_an_unknown_option_is_named(client: Client) -> None:
    with pytest.raises(TypeError, match=r"ttlSeconds.*the options are ttl"):
        Shell.start(client=client, ttlSeconds=5)  # type: ignore[call-arg]


def test_a_command_that_fails_can_be_an_error(client: Client) -> None:
    with Shell.start(client=client) as shell:
        with pytest.raises(CommandError, match="exited with 4: the reason") as caught:
            shell.run("echo first >&2; echo the reason >&2; exit 4", check=True)
        assert caught.value.result.exit_code == 4
        with pytest.raises(CommandError, match="timed out"):
            shell.run("sleep 60", timeout=1, check=True)
        assert shell.run("kill -9 $$").signal == 9


def test_a_command_that_could_not_be_run_is_an_error(client: Client) -> None:
    with Shell.start(client=client) as shell, pytest.raises(JobFailedError) as caught:
        shell.run(["no-such-program"])
    assert caught.value.code == "command_not_found"


def test_a_job_can_be_cancelled_and_signalled(client: Client) -> None:
    with Shell.start(client=client) as shell:
        job = shell.submit(
            "trap 'echo caught; exit 7' INT; echo started; while :; do sleep 0.05; done"
        )
        chunks = job.stream()
        assert next(chunks).text == "started\n"
        chunks.close()
        job.signal("INT")
        assert (job.wait().exit_code, job.wait().stdout) == (7, "started\ncaught\n")
        other = shell.submit("sleep 600")
        with pytest.raises(TimeoutError):
            other.wait(timeout=0.1)
        other.cancel()
        assert other.wait().status == "cancelled"


def test_processes_are_listed_and_signalled(client: Client) -> None:
    with Shell.start(client=client) as shell:
        # Until it is executed, the new process is a copy of the shell.
        line = "sleep 1000 & until [ $(cat /proc/$!/comm) = sleep ]; do :; done"
        job = shell.submit(line, background=True)
        job.wait()
        (process,) = shell.processes()
        assert (process["jobId"], process["arguments"]) == (job.id, ["sleep", "1000"])
        shell.signal_process(process, "KILL")
        while shell.processes():
            pass
        with pytest.raises(NotFoundError):
            shell.signal_process(process["pid"], 15)


def test_merged_output_has_the_order_of_the_writes(client: Client) -> None:
    with Shell.start(client=client) as shell:
        result = shell.run("for i in $(seq 100); do echo o$i; echo e$i >&2; done", merge=True)
        assert result.stdout == "".join(f"o{n}\ne{n}\n" for n in range(1, 101))
        assert result.stderr == ""
        written = [(piece.written_to, piece.text) for piece in result.pieces]
        lines = [[("stdout", f"o{n}\n"), ("stderr", f"e{n}\n")] for n in range(1, 101)]
        assert written == [line for both in lines for line in both]
        assert b"".join(piece.data for piece in result.pieces) == result.stdout_bytes


def test_long_merged_output_has_pieces_on_both_sides_of_its_gap(client: Client) -> None:
    with Shell.start(client=client) as shell:
        line = "echo begin; head -c 300000 /dev/zero >&2; echo; echo the >&2; echo end"
        result = shell.run(line, merge=True, max_output=200_000)
        shown = [(piece.written_to, piece.offset, len(piece.data)) for piece in result.pieces]
        assert shown == [
            ("stdout", 0, 6),
            ("stderr", 6, 99_994),
            ("stderr", 200_015, 99_991),
            ("stdout", 300_006, 1),
            ("stderr", 300_007, 4),
            ("stdout", 300_011, 4),
        ]
        assert shell.run("echo a; echo b >&2").pieces == ()
        assert shell.run("echo a; echo b >&2", merge=True, shell_name="main").pieces == ()


def test_merged_output_is_streamed_with_the_streams_it_was_written_to(client: Client) -> None:
    with Shell.start(client=client) as shell:
        job = shell.submit("for i in $(seq 100); do echo o$i; echo e$i >&2; done", merge=True)
        chunks = list(job.stream())
        assert {chunk.stream for chunk in chunks} == {"stdout"}
        texts = {"stdout": "", "stderr": ""}
        for chunk in chunks:
            assert chunk.written_to
            texts[chunk.written_to] += chunk.text
        assert texts["stdout"] == "".join(f"o{n}\n" for n in range(1, 101))
        assert texts["stderr"] == "".join(f"e{n}\n" for n in range(1, 101))


def test_commands_of_a_name_share_a_shell(client: Client) -> None:
    with Shell.start(client=client) as shell:
        first = shell.run("cd /tmp; x=1", shell_name="main")
        assert first.job.get("shell") == {"name": "main", "isNew": True, "hasEnded": False}
        assert shell.run("pwd; echo $x", shell_name="main").stdout == "/tmp\n1\n"
        assert shell.run("echo ${x-none}").stdout == "none\n"
        last = shell.run("exit 3", shell_name="main")
        assert last.exit_code == 3
        assert last.job.get("shell", {}).get("hasEnded")
        with pytest.raises(InvalidRequestError):
            shell.run("pwd", shell_name="main", cwd="/")


def test_output_beyond_a_page_is_complete(client: Client) -> None:
    with Shell.start(client=client) as shell:
        result = shell.run("seq 300000", max_output=4 << 20)
        assert result.stdout == "".join(f"{n}\n" for n in range(1, 300001))
        assert result.missing_stdout == 0
        assert "".join(chunk.text for chunk in shell.job(result.job_id).stream()) == result.stdout


def test_output_is_passed_on_while_the_command_runs(client: Client) -> None:
    seen: list[str] = []
    with Shell.start(client=client) as shell:

        def on_output(chunk: Chunk) -> None:
            seen.append(chunk.text)
            if "one" in chunk.text:
                shell.run("touch seen", parallel=True)

        command = "echo one; until [ -e seen ]; do sleep 0.01; done; echo two >&2; exit 4"
        result = shell.run(command, timeout=60, on_output=on_output)
        assert (result.stdout, result.stderr, result.exit_code) == ("one\n", "two\n", 4)
        assert "".join(seen) == "one\ntwo\n"
        with pytest.raises(CommandError):
            shell.run("exit 1", check=True, on_output=on_output)


def test_output_that_is_not_kept_is_counted(client: Client) -> None:
    with Shell.start(client=client) as shell:
        job = shell.submit("seq 300000", max_output=1000)
        result = job.wait()
        assert result.stdout.startswith("1\n2\n")
        assert result.stdout.endswith("299999\n300000\n")
        written = len("".join(f"{n}\n" for n in range(1, 300001)))
        assert result.missing_stdout == written - 1000
        chunks = list(job.stream())
        assert sum(chunk.missing for chunk in chunks) == written - 1000
        assert b"".join(chunk.data for chunk in chunks) == result.stdout_bytes


def test_bytes_that_are_no_text_arrive_unchanged(client: Client) -> None:
    command = r"printf 'gr\303\274n \342\202'; sleep 0.2; printf '\254 \377\376'"
    with Shell.start(client=client) as shell:
        job = shell.submit(command)
        chunks = list(job.stream())
        assert "".join(chunk.text for chunk in chunks) == "grün € \ufffd\ufffd"
        assert job.wait().stdout_bytes == "grün € ".encode() + b"\xff\xfe"
        assert job.wait().stdout == "grün € \ufffd\ufffd"
        assert shell.run("printf 'a\\342'").stdout == "a\ufffd"
        assert "".join(c.text for c in shell.submit("printf 'a\\342'").stream()) == "a\ufffd"


def test_output_arrives_while_the_command_runs(client: Client) -> None:
    with Shell.start(client=client) as shell:
        job = shell.submit("echo begin; read -r line < <(sleep 600)")
        began = time.monotonic()
        for chunk in job.stream():
            assert chunk.text == "begin\n"
            break
        assert time.monotonic() - began < 20
        assert job.info()["status"] == "running"
        job.cancel()


def test_without_streams_the_output_is_polled(without_streams: Client) -> None:
    with Shell.start(client=without_streams) as shell:
        job = shell.submit("for i in 1 2 3; do echo $i; sleep 0.5; done; echo e >&2")
        chunks = list(job.stream())
        assert "".join(c.text for c in chunks if c.stream == "stdout") == "1\n2\n3\n"
        assert "".join(c.text for c in chunks if c.stream == "stderr") == "e\n"
        assert job.wait().ok
        cut = shell.submit("seq 300000", max_output=1000)
        chunks = list(cut.stream())
        assert sum(chunk.missing for chunk in chunks) > 0
        assert b"".join(chunk.data for chunk in chunks) == cut.wait().stdout_bytes


def test_a_shell_can_be_found_again(client: Client) -> None:
    with Shell.start(client=client) as shell:
        job = shell.submit("echo found")
        again = Shell.attach(shell.id, client=client)
        assert again.job(job.id).wait().stdout == "found\n"
        assert [each["jobId"] for each in again.jobs()][1:] == [job.id]
        assert shell.id in [each["sessionId"] for each in Shell.list(client=client)]
        ready = Shell.list(client=client, status="ready", limit=1)
        assert [each["status"] for each in ready] == ["ready"]
    with pytest.raises(NotFoundError):
        Shell.attach("sh_01ARZ3NDEKTSV4RRFFQ69G5FAV", client=client)


def test_a_shell_has_a_timeline_and_can_be_extended(client: Client) -> None:
    with Shell.start(client=client, ttl=60) as shell:
        shell.wait_ready()
        before = shell.info().get("expiresAt")
        assert shell.extend(3600).get("expiresAt", "") > (before or "")
        shell.stop(reason="enough")
        types = [event["type"] for event in shell.timeline()]
        assert types[0] == "accepted"
        assert {"ready", "extended", "stopped"} <= set(types)
        assert shell.info().get("note") == "enough"


def test_the_quota_is_known(client: Client) -> None:
    assert client.quota()["limit"] == 60


def test_the_events_of_all_shells_come_as_they_happen(client: Client) -> None:
    def types(shell: Shell, after: int) -> tuple[list[str], int]:
        found: list[str] = []
        for event in client.user_events(after):
            if event["sessionId"] == shell.id:
                found.append(event["type"])
            if found and found[-1] == "session.stopped":
                return found, event["seq"]
        raise AssertionError("the events have no end")

    with Shell.start(client=client, ttl=600) as first:
        first.run("true")
    events, last = types(first, 0)
    assert events == ["session.ready", "job.completed", "session.stopped"]
    with Shell.start(client=client, ttl=600) as second:
        second.run("exit 3")
    assert types(second, last)[0] == ["session.ready", "job.completed", "session.stopped"]
