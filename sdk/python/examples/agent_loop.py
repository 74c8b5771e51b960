"""An agent: a model asks for commands, sees their output, and ends when it is done.

The model is scripted here. One of a provider takes its place by the same method.
"""

from __future__ import annotations

from typing import Protocol

from ephemeral_shells import CommandOptions, Result, Shell

LONGEST = 2000


class Model(Protocol):
    def next_command(self, observation: str) -> str | None:
        """The next command; None when the task is done."""
        ...


class ScriptedModel:
    """Writes a program, sees it fail, mends it."""

    def next_command(self, observation: str) -> str | None:
        if not observation:
            write = "echo 'print(sum(range(10)) / 0)' > main.py"
            return f"mkdir report && cd report && {write} && python3 main.py"
        if "ZeroDivisionError" in observation:
            return "sed -i 's, / 0,,' main.py && python3 main.py"
        return None


def observation_of(result: Result) -> str:
    """What the model is told: the error stands at the end, so both ends are kept."""
    text = result.stdout + result.stderr
    if len(text) > LONGEST:
        text = (
            f"{text[: LONGEST // 2]}\n… {len(text) - LONGEST} characters …\n{text[-LONGEST // 2 :]}"
        )
    outcome = "timed out" if result.timed_out else f"exit code {result.exit_code}"
    return f"{text}[{outcome}]"


def run_agent(model: Model) -> None:
    # One shell process for all commands: what `cd` and `export` change holds for the next one.
    options: CommandOptions = {"shell_name": "agent", "timeout": 60, "max_output": 100_000}
    with Shell.start(ttl=1800, idle_timeout=300) as shell:
        observation = ""
        while (command := model.next_command(observation)) is not None:
            print(f"$ {command}")
            observation = observation_of(shell.run(command, **options))
            print(observation.strip().splitlines()[-2])


if __name__ == "__main__":
    run_agent(ScriptedModel())
