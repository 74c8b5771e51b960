"""A CI job: steps in one shell, with their output as it comes; the first failure ends the job."""

from __future__ import annotations

from ephemeral_shells import Shell

# A checkout would be a `git clone`, with `network="egress"`.
CHECKOUT = """
mkdir project && cd project
echo 'def add(a, b): return a + b' > calculator.py
cat > test_calculator.py <<'END'
import unittest
from calculator import add
class Sums(unittest.TestCase):
    def test_two_numbers(self):
        self.assertEqual(add(2, 2), 4)
END
"""

STEPS = {
    "checkout": CHECKOUT,
    "compile": "cd project && python3 -m compileall -q . && echo compiled",
    "test": "cd project && python3 -m unittest 2>&1 | tail -1",
    "lint": "cd project && ! grep -n 'return' *.py",
    "deploy": "echo never reached",
}


def main() -> bool:
    with Shell.start(ttl=900, metadata={"pipeline": "example"}) as shell:
        for name, command in STEPS.items():
            print(f"== {name}", flush=True)
            job = shell.submit(command, timeout=300)
            for chunk in job.stream():
                print(chunk.text, end="", flush=True)
            result = job.wait()
            if not result.ok:
                print(f"{name} failed: {result.status}, exit code {result.exit_code}")
                return False
    return True


if __name__ == "__main__":
    main()
