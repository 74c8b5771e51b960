// A CI job: steps in one shell, with their output as it comes; the first failure ends the job.

import { Shell } from "ephemeral-shells";

// A checkout would be a `git clone`, with `network: "egress"`.
const CHECKOUT = `
mkdir project && cd project
echo 'def add(a, b): return a + b' > calculator.py
cat > test_calculator.py <<'END'
import unittest
from calculator import add
class Sums(unittest.TestCase):
    def test_two_numbers(self):
        self.assertEqual(add(2, 2), 4)
END
`;

const STEPS = {
  checkout: CHECKOUT,
  compile: "cd project && python3 -m compileall -q . && echo compiled",
  test: "cd project && python3 -m unittest 2>&1 | tail -1",
  lint: "cd project && ! grep -n 'return' *.py",
  deploy: "echo never reached",
};

// Ctrl-C ends the waiting, and so the shell.
const controller = new AbortController();
const { signal } = controller;
process.once("SIGINT", () => controller.abort());

await Shell.use({ ttlSeconds: 900, metadata: { pipeline: "example" }, signal }, async (shell) => {
  for (const [name, command] of Object.entries(STEPS)) {
    console.log(`== ${name}`);
    const job = await shell.submit(command, { timeoutSeconds: 300 });
    for await (const chunk of job.stream({ signal })) process.stdout.write(chunk.text);
    const result = await job.wait({ signal });
    if (result.ok) continue;
    console.log(`${name} failed: ${result.status}, exit code ${result.exitCode}`);
    return;
  }
});
