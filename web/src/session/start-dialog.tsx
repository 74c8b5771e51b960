import { useState } from "preact/hooks";
import { post } from "../api/client.js";
import { useSubmission } from "../api/submit.js";
import type { Accepted, Start } from "../api/types.js";
import { remember } from "../commands.js";
import { cpu, mebibytes } from "../format.js";
import { Checkbox, Dialog, Field } from "../ui/dialog.js";
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
  const submit = () => {
    setInvalid(null);
    submission.clear();
    try {
      void submission.send(startRequest(form));
    } catch (error) {
      setInvalid(error as Error);
    }
  };
  return (
    <Dialog
      title="New session"
      action="Start session"
      isSending={submission.isSending}
      error={invalid ?? submission.error}
      onClose={props.onClose}
      onSubmit={submit}
    >
      <Size form={form} set={set} />
      <div class="columns">
        <Field label="Lifetime (TTL)" hint="The session ends then, whatever happens: 15m, 1h, 8h.">
          {(id) => (
            <input id={id} value={form.ttl} required onInput={(event) => set({ ttl: event.currentTarget.value })} />
          )}
        </Field>
        <Field label="Network">
          {(id) => (
            <select
              id={id}
              value={form.network}
              onChange={(event) => set({ network: event.currentTarget.value as StartForm["network"] })}
            >
              <option value="">The server’s default</option>
              <option value="none">None</option>
              <option value="egress">Outgoing (egress)</option>
            </select>
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
          {(id) => (
            <textarea
              id={id}
              class="code"
              rows={3}
              spellcheck={false}
              value={form.command}
              onInput={(event) => set({ command: event.currentTarget.value })}
            />
          )}
        </Field>
      )}
      <More form={form} set={set} />
    </Dialog>
  );
}

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
  return (
    <div class="columns three">
      <Field label="Image">
        {(id) => (
          <input id={id} value={form.image} onInput={(event) => set({ image: event.currentTarget.value })} />
        )}
      </Field>
      <Field label="CPU">
        {(id) => (
          <select id={id} value={form.cpu} onChange={(event) => chooseCpu(Number(event.currentTarget.value))}>
            {Object.keys(MEMORY).map((units) => (
              <option key={units} value={units}>
                {cpu(Number(units))}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Memory">
        {(id) => (
          <select
            id={id}
            value={form.memoryMiB}
            onChange={(event) => set({ memoryMiB: Number(event.currentTarget.value) })}
          >
            {(MEMORY[form.cpu] ?? []).map((memory) => (
              <option key={memory} value={memory}>
                {mebibytes(memory)}
              </option>
            ))}
          </select>
        )}
      </Field>
    </div>
  );
}

function More({ form, set }: FormProps) {
  const lines = (label: string, hint: string, key: "metadata" | "env") => (
    <Field label={label} hint={hint}>
      {(id) => (
        <textarea
          id={id}
          class="code"
          rows={2}
          spellcheck={false}
          placeholder="KEY=VALUE"
          value={form[key]}
          onInput={(event) => set({ [key]: event.currentTarget.value })}
        />
      )}
    </Field>
  );
  return (
    <details class="more">
      <summary>More options</summary>
      {lines("Metadata", "Your notes, shown with the session. One pair in each line.", "metadata")}
      {lines("Environment", "Variables of every command. One pair in each line.", "env")}
      <div class="columns">
        <Field label="Idle timeout" hint="Ends the session after this time without a command.">
          {(id) => (
            <input
              id={id}
              value={form.idle}
              placeholder="none"
              onInput={(event) => set({ idle: event.currentTarget.value })}
            />
          )}
        </Field>
        <Field label="Webhook URL" hint="The secret that signs it is shown once, after the start.">
          {(id) => (
            <input
              id={id}
              type="url"
              value={form.webhook}
              placeholder="https://"
              onInput={(event) => set({ webhook: event.currentTarget.value })}
            />
          )}
        </Field>
      </div>
      <Checkbox
        label="Wait for a slot"
        hint="At the quota, queue the session instead of refusing it."
        checked={form.waits}
        onChange={(waits) => set({ waits })}
      />
    </details>
  );
}
