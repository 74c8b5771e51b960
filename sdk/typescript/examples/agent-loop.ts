// An agent: a model asks for commands, sees their output, and ends when it is done.
//
// The model is scripted here. One of a provider takes its place by the same method.

import { Shell, type Result } from "ephemeral-shells";

const LONGEST = 2000;

interface Model {
  /** The next command; null when the task is done. */
  nextCommand(observation: string): Promise<string | null>;
}

/** Writes a program, sees it fail, mends it. */
const scripted: Model = {
  async nextCommand(observation) {
    if (!observation) {
      const write = "echo 'print(sum(range(10)) / 0)' > main.py";
      return `mkdir report && cd report && ${write} && python3 main.py`;
    }
    if (observation.includes("ZeroDivisionError")) return "sed -i 's, / 0,,' main.py && python3 main.py";
    return null;
  },
};

/** What the model is told: the error stands at the end, so both ends are kept. */
function observationOf(result: Result): string {
  let text = result.stdout + result.stderr;
  if (text.length > LONGEST) {
    text = `${text.slice(0, LONGEST / 2)}\n… ${text.length - LONGEST} characters …\n${text.slice(-LONGEST / 2)}`;
  }
  return `${text}[${result.timedOut ? "timed out" : `exit code ${result.exitCode}`}]`;
}

// One shell process for all commands: what `cd` and `export` change holds for the next one.
const shared = { state: "shared", shellName: "agent" } as const;

async function runAgent(model: Model): Promise<void> {
  await Shell.use({ ttlSeconds: 1800, idleTimeoutSeconds: 300 }, async (shell) => {
    let observation = "";
    for (;;) {
      const command = await model.nextCommand(observation);
      if (command === null) return;
      console.log(`$ ${command}`);
      observation = observationOf(await shell.run(command, { ...shared, timeoutSeconds: 60, maxOutputBytes: 100_000 }));
      console.log(observation.trim().split("\n").at(-2));
    }
  });
}

await runAgent(scripted);
