import { useState } from "preact/hooks";
import { post, Refused } from "../api/client.js";
import { useSubmission } from "../api/submit.js";
import type { Accepted, Start } from "../api/types.js";
import { remember } from "../commands.js";
import { cpu, mebibytes } from "../format.js";
import { Checkbox, Dialog, Field, Lines, Select, TextInput } from "../ui/dialog.js";
import { emptyForm, MEMORY, startRequest, type StartForm } from "./start-form.js";

/** Asks for a new session and starts it. */
export function StartDialog(props: {
  initial?: Partial<StartForm>;
  onClose: () => void;
  onStarted: (accepted: Accepted) => void;
}) {
  const [form, setForm] = useState<StartForm>({ ...emptyForm, ...props.initial });
  const [invalid, setInvalid] = useState<Error | null>(null);
  const set = (change: Partial<StartForm>) => setForm((before) => ({ ...before, ...change }));
  const submission = useSubmission(async (request: Start, idempotencyKey) => {
    const accepted = await post("/v1/shell/start", { body: request }, { idempotencyKey });
    if (accepted.commandJobId && request.command) remember(accepted.commandJobId, { command: request.command });
    props.onStarted(accepted);
  });
  const submit = (wanted: StartForm) => {
    setInvalid(null);
    submission.clear();
    try {
      void submission.send(startRequest(wanted));
    } catch (error) {
      setInvalid(error as Error);
    }
  };
  const submitWaiting = () => {
    set({ waits: true });
    submit({ ...form, waits: true });
  };
  const canWait = isFull(submission.error) && !form.waits;
  return (
    <Dialog
      title="New session"
      action="Start session"
      isSending={submission.isSending}
      error={invalid ?? submission.error}
      remedy={canWait ? { label: "Start it when there is room", onClick: submitWaiting } : undefined}
      onClose={props.onClose}
      onSubmit={() => submit(form)}
    >
      <Size form={form} set={set} />
      <div class="columns">
        <Field label="Lifetime (TTL)" hint="The session ends then, whatever happens: 15m, 1h, 8h.">
          {(id) => <TextInput id={id} value={form.ttl} required onInput={(ttl) => set({ ttl })} />}
        </Field>
        <Field label="Network" hint="Egress reaches public addresses; nothing reaches the shell.">
          {(id) => (
            <Select id={id} value={form.network} options={NETWORKS} onChange={(network) => set({ network })} />
          )}
        </Field>
      </div>
      <Checkbox
        label="One shot"
        hint="Run one command, then end the session."
        checked={form.isOneShot}
        onChange={(isOneShot) => set({ isOneShot })}
      />
      {form.isOneShot && (
        <Field label="Command">
          {(id) => <Lines id={id} rows={3} value={form.command} onInput={(command) => set({ command })} />}
        </Field>
      )}
      <More form={form} set={set} />
    </Dialog>
  );
}

/** Whether the start was refused because the user or the server has no room now. */
function isFull(error: Error | null): boolean {
  return error instanceof Refused && ["quota_exceeded", "capacity_exceeded"].includes(error.problem.code);
}

const NETWORKS = [
  { value: "", label: "The server’s default" },
  { value: "none", label: "None" },
  { value: "egress", label: "Outgoing (egress)" },
] as const;

interface FormProps {
  form: StartForm;
  set: (change: Partial<StartForm>) => void;
}

function Size({ form, set }: FormProps) {
  const chooseCpu = (units: number) => {
    const memory = MEMORY[units] ?? [];
    const memoryMiB = memory.includes(form.memoryMiB) ? form.memoryMiB : (memory[0] ?? form.memoryMiB);
    set({ cpu: units, memoryMiB });
  };
  const units = Object.keys(MEMORY).map((value) => ({ value: Number(value), label: cpu(Number(value)) }));
  const memory = (MEMORY[form.cpu] ?? []).map((value) => ({ value, label: mebibytes(value) }));
  return (
    <>
      <div class="columns">
        <Field label="Image">
          {(id) => <TextInput id={id} value={form.image} onInput={(image) => set({ image })} />}
        </Field>
        <Field label="Disk (MiB)">
          {(id) => <TextInput id={id} value={form.disk} placeholder="2048" onInput={(disk) => set({ disk })} />}
        </Field>
      </div>
      <div class="columns">
        <Field label="CPU">
          {(id) => <Select id={id} value={form.cpu} options={units} onChange={chooseCpu} />}
        </Field>
        <Field label="Memory">
          {(id) => (
            <Select id={id} value={form.memoryMiB} options={memory} onChange={(memoryMiB) => set({ memoryMiB })} />
          )}
        </Field>
      </div>
    </>
  );
}

function More({ form, set }: FormProps) {
  return (
    <details class="more">
      <summary>More options</summary>
      <Field label="Metadata" hint="Your notes, shown with the session. One pair in each line.">
        {(id) => <Lines id={id} value={form.metadata} placeholder="KEY=VALUE" onInput={(metadata) => set({ metadata })} />}
      </Field>
      <Field label="Environment" hint="Variables of every command. One pair in each line.">
        {(id) => <Lines id={id} value={form.env} placeholder="KEY=VALUE" onInput={(env) => set({ env })} />}
      </Field>
      <div class="columns">
        <Field label="Idle timeout" hint="Ends the session after this time without a command.">
          {(id) => <TextInput id={id} value={form.idle} placeholder="none" onInput={(idle) => set({ idle })} />}
        </Field>
        <Field label="Webhook URL" hint="The secret that signs it is shown once, after the start.">
          {(id) => (
            <TextInput id={id} isUrl value={form.webhook} placeholder="https://" onInput={(webhook) => set({ webhook })} />
          )}
        </Field>
      </div>
      <Checkbox
        label="Wait if there is no room"
        hint="At your quota, or while the server is full, the session is queued instead of refused."
        checked={form.waits}
        onChange={(waits) => set({ waits })}
      />
    </details>
  );
}
