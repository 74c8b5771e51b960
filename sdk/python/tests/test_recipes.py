"""The recipes of docs/recipes: what they show is run."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import PROGRAM, ROOT, Server

RECIPES = sorted((ROOT / "docs/recipes").glob("*.md"))


@pytest.fixture
def at_work(local: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The program is installed, and the working directory empty."""
    monkeypatch.setenv("PATH", f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return local


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_works(at_work: Server, recipe: Path) -> None:
    text = recipe.read_text()
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    result = doctest.testfile(str(recipe), module_relative=False)
    assert result.failed == 0
    # That of an image is built by scripts/test-image.
    assert script or result.attempted or "```dockerfile" in text
