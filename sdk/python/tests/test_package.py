"""The package itself: what is generated, documented and imported."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Server

import ephemeral_shells

ROOT = Path(__file__).resolve().parents[1]
# How much longer than that of httpx the import may take.
MOST_OF_HTTPX = 2


def test_generated_files_are_those_of_the_document() -> None:
    subprocess.run([sys.executable, ROOT / "scripts/generate.py", "--check"], check=True)


def test_the_examples_of_the_readme_work(local: Server) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=flags)
    assert result.attempted > 20
    assert result.failed == 0


def test_the_example_of_the_module_works(local: Server) -> None:
    result = doctest.testmod(ephemeral_shells)
    assert (result.attempted, result.failed) == (1, 0)


def test_the_import_is_fast() -> None:
    def import_ms(module: str) -> float:
        command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        return int(report.strip().splitlines()[-1].split("|")[1]) / 1000

    # The fastest of some, beside what it needs: other programs may keep the machine busy.
    spans = [(import_ms("ephemeral_shells"), import_ms("httpx")) for _ in range(5)]
    ours, httpx = (min(span) for span in zip(*spans, strict=True))
    print(f"import: {ours:.0f} ms, of httpx alone: {httpx:.0f} ms")
    assert ours < MOST_OF_HTTPX * httpx


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_an_example_runs(local: Server, path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", path],
        capture_output=True,
        text=True,
        env={**os.environ},
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert not run.stderr
    expected = path.with_suffix(".out").read_text()
    assert run.stdout == expected
