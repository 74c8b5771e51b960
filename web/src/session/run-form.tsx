import { useState } from "preact/hooks";
import { post } from "../api/client.js";
import { useSubmission } from "../api/submit.js";
import { takesCommands, type Session } from "../api/types.js";
import { remember, type Command } from "../commands.js";
import { Checkbox } from "../ui/dialog.js";
import { Button, Failure } from "../ui/parts.js";

/** Sends a command to a session; returns the id of its job. */
export async function execute(sessionId: string, command: Command, idempotencyKey: string): Promise<string> {
  const body = { sessionId, ...command };
  const { jobId } = await post("/v1/shell/execute", { body }, { idempotencyKey });
  remember(jobId, command);
  return jobId;
}

/** Runs a command in the session. Before the session is ready, the command waits for it. */
export function RunForm({ session, onSent }: { session: Session; onSent: (jobId: string) => void }) {
  const [line, setLine] = useState("");
  const [isParallel, setParallel] = useState(false);
  const submission = useSubmission(async (command: Command, key) => {
    onSent(await execute(session.sessionId, command, key));
    setLine("");
  });
  if (!takesCommands(session)) return null;
  const submit = () => {
    if (line.trim() === "" || submission.isSending) return;
    void submission.send({ command: line, ...(isParallel ? { concurrency: "parallel" as const } : {}) });
  };
  return (
    <form
      class="run-form"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <label class="prompt">
        <span aria-hidden="true">$</span>
        <span class="visually-hidden">Command to run in this session</span>
        <textarea
          rows={Math.min(8, line.split("\n").length)}
          spellcheck={false}
          autocapitalize="off"
          placeholder={session.status === "ready" ? "Run a command" : "Run a command as soon as the shell is ready"}
          value={line}
          onInput={(event) => setLine(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            submit();
          }}
        />
      </label>
      <div class="run-options">
        <Checkbox label="Parallel to other commands" checked={isParallel} onChange={setParallel} />
        <span class="hint">Enter runs it, Shift+Enter starts a new line.</span>
        <Button icon="play" label="Run" kind="primary" submit disabled={submission.isSending || line.trim() === ""} />
      </div>
      {submission.error && <Failure error={submission.error} />}
    </form>
  );
}
