import { useState } from "preact/hooks";
import { post } from "../api/client.js";
import { useSubmission } from "../api/submit.js";
import { takesCommands, type Session } from "../api/types.js";
import { remember, type Command } from "../commands.js";
import { Checkbox, Field, Lines, Select, TextInput } from "../ui/dialog.js";
import { Button, Failure } from "../ui/parts.js";
import { changedOptions, commandRequest, emptyCommand, type CommandForm } from "./command-form.js";

/** Sends a command to a session; returns the id of its job. */
export async function execute(sessionId: string, command: Command, idempotencyKey: string): Promise<string> {
  const body = { sessionId, ...command };
  const { jobId } = await post("/v1/shell/execute", { body }, { idempotencyKey });
  remember(jobId, command);
  return jobId;
}

interface FormProps {
  form: CommandForm;
  set: (change: Partial<CommandForm>) => void;
}

/** Runs a command in the session. Before the session is ready, the command waits for it. */
export function RunForm({ session, onSent }: { session: Session; onSent: (jobId: string) => void }) {
  const [form, setForm] = useState<CommandForm>(emptyCommand);
  const [invalid, setInvalid] = useState<Error | null>(null);
  const set = (change: Partial<CommandForm>) => setForm((before) => ({ ...before, ...change }));
  const submission = useSubmission(async (command: Command, key) => {
    onSent(await execute(session.sessionId, command, key));
    set({ line: "" });
  });
  if (!takesCommands(session)) return null;
  const isEmpty = form.line.trim() === "";
  const submit = () => {
    if (isEmpty || submission.isSending) return;
    setInvalid(null);
    submission.clear();
    try {
      void submission.send(commandRequest(form));
    } catch (error) {
      setInvalid(error as Error);
    }
  };
  const error = invalid ?? submission.error;
  return (
    <form
      class="run-form"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <Prompt form={form} set={set} isReady={session.status === "ready"} onEnter={submit} />
      <div class="run-options">
        <Options form={form} set={set} />
        <span class="run-end">
          <span class="hint">Enter runs it, Shift+Enter starts a new line.</span>
          <Button icon="play" label="Run" kind="primary" submit disabled={submission.isSending || isEmpty} />
        </span>
      </div>
      {error && <Failure error={error} />}
    </form>
  );
}

function Prompt({ form, set, isReady, onEnter }: FormProps & { isReady: boolean; onEnter: () => void }) {
  return (
    <label class="prompt">
      <span aria-hidden="true">$</span>
      <span class="visually-hidden">Command to run in this session</span>
      <textarea
        rows={Math.min(8, form.line.split("\n").length)}
        spellcheck={false}
        autocapitalize="off"
        placeholder={isReady ? "Run a command" : "Run a command as soon as the shell is ready"}
        value={form.line}
        onInput={(event) => set({ line: event.currentTarget.value })}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          onEnter();
        }}
      />
    </label>
  );
}

function Options({ form, set }: FormProps) {
  const changed = changedOptions(form);
  return (
    <details class="more">
      <summary>Options{changed > 0 && ` (${changed})`}</summary>
      <Checkbox
        label="In a shared shell"
        hint="The next command there finds the directory, variables, functions and processes that this one leaves."
        checked={form.isShared}
        onChange={(isShared) => set({ isShared })}
      />
      <div class="columns three">
        <Field label="User">
          {(id) => <TextInput id={id} value={form.user} placeholder="shelluser" onInput={(user) => set({ user })} />}
        </Field>
        {form.isShared ? (
          <Field label="Name of the shell">
            {(id) => (
              <TextInput id={id} value={form.shellName} placeholder="default" onInput={(shellName) => set({ shellName })} />
            )}
          </Field>
        ) : (
          <Field label="Directory">
            {(id) => <TextInput id={id} value={form.cwd} placeholder="the user’s home" onInput={(cwd) => set({ cwd })} />}
          </Field>
        )}
        <Field label="Time limit">
          {(id) => <TextInput id={id} value={form.timeout} placeholder="10m" onInput={(timeout) => set({ timeout })} />}
        </Field>
      </div>
      <div class="columns">
        {!form.isShared && (
          <Field label="Shell">
            {(id) => <Select id={id} value={form.shell} options={SHELLS} onChange={(shell) => set({ shell })} />}
          </Field>
        )}
        <Field label="Of long output, keep">
          {(id) => <Select id={id} value={form.keep} options={KEEPS} onChange={(keep) => set({ keep })} />}
        </Field>
        {!form.isShared && (
          <Field label="Environment">
            {(id) => <Lines id={id} value={form.env} placeholder="KEY=VALUE" onInput={(env) => set({ env })} />}
          </Field>
        )}
        <Field label="Standard input">
          {(id) => <Lines id={id} value={form.stdin} onInput={(stdin) => set({ stdin })} />}
        </Field>
      </div>
      <Checkbox
        label="Both streams merged"
        hint="One text in the order of the writes, with the lines of stderr in their colour."
        checked={form.isMerged}
        onChange={(isMerged) => set({ isMerged })}
      />
      {!form.isShared && <Processes form={form} set={set} />}
    </details>
  );
}

/** What a command in a shared shell can't choose: it waits for those before it, and its processes stay. */
function Processes({ form, set }: FormProps) {
  return (
    <>
      <Checkbox
        label="Parallel to other commands"
        hint="Otherwise it waits until those before it have ended."
        checked={form.isParallel}
        onChange={(isParallel) => set({ isParallel })}
      />
      <Checkbox
        label="Leave background processes running"
        hint="Otherwise what still runs when the command ends is killed."
        checked={form.isBackground}
        onChange={(isBackground) => set({ isBackground })}
      />
    </>
  );
}

const SHELLS = [
  { value: "", label: "bash, or sh if there is no bash" },
  { value: "bash", label: "bash" },
  { value: "sh", label: "sh" },
] as const;

const KEEPS = [
  { value: "both", label: "its beginning and its end" },
  { value: "head", label: "its beginning" },
  { value: "tail", label: "its end" },
] as const;
