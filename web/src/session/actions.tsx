// Extending and stopping a session.

import { useState } from "preact/hooks";
import { post } from "../api/client.js";
import { useSubmission } from "../api/submit.js";
import { hasEnded, type Session } from "../api/types.js";
import { shortId } from "../format.js";
import { Checkbox, Dialog, Field } from "../ui/dialog.js";
import { Button, Segmented } from "../ui/parts.js";

/** The buttons that apply to the session now. */
export function SessionActions(props: { session: Session; compact?: boolean; onChange: () => void }) {
  const { session } = props;
  const [open, setOpen] = useState<"extend" | "stop" | null>(null);
  const compact = props.compact ?? false;
  const close = () => setOpen(null);
  const done = () => {
    close();
    props.onChange();
  };
  if (hasEnded(session)) return null;
  const isStopping = session.status === "stopping";
  return (
    <span class="actions">
      <Button
        icon="clock"
        label="Extend"
        compact={compact}
        disabled={isStopping || session.expiresAt === undefined}
        onClick={() => setOpen("extend")}
      />
      <Button
        icon="stop"
        label="Stop"
        kind="danger"
        compact={compact}
        disabled={isStopping}
        onClick={() => setOpen("stop")}
      />
      {open === "extend" && <ExtendDialog session={session} onClose={close} onDone={done} />}
      {open === "stop" && <StopDialog session={session} onClose={close} onDone={done} />}
    </span>
  );
}

interface DialogProps {
  session: Session;
  onClose: () => void;
  onDone: () => void;
}

const LIFETIMES = [
  { value: "900", label: "15 min" },
  { value: "3600", label: "1 h" },
  { value: "14400", label: "4 h" },
  { value: "28800", label: "8 h" },
] as const;

function ExtendDialog({ session, onClose, onDone }: DialogProps) {
  const [ttl, setTtl] = useState<(typeof LIFETIMES)[number]["value"]>("3600");
  const [allowShorten, setAllowShorten] = useState(false);
  const submission = useSubmission(async (ttlSecondsFromNow: number, idempotencyKey) => {
    const body = { ttlSecondsFromNow, allowShorten };
    await post("/v1/sessions/{id}/extend", { id: session.sessionId, body }, { idempotencyKey });
    onDone();
  });
  return (
    <Dialog
      title={`Extend ${shortId(session.sessionId)}`}
      action="Extend"
      isSending={submission.isSending}
      error={submission.error}
      onClose={onClose}
      onSubmit={() => void submission.send(Number(ttl))}
    >
      <p>The session ends this long from now:</p>
      <Segmented label="New lifetime" value={ttl} options={LIFETIMES} onChange={setTtl} />
      <Checkbox
        label="Also if that is earlier than now planned"
        checked={allowShorten}
        onChange={setAllowShorten}
      />
    </Dialog>
  );
}

function StopDialog({ session, onClose, onDone }: DialogProps) {
  const [reason, setReason] = useState("");
  const [drain, setDrain] = useState(false);
  const submission = useSubmission(async (request: { reason: string; drain: boolean }, idempotencyKey) => {
    const body = {
      sessionId: session.sessionId,
      drain: request.drain,
      ...(request.reason === "" ? {} : { reason: request.reason }),
    };
    await post("/v1/shell/stop", { body }, { idempotencyKey });
    onDone();
  });
  return (
    <Dialog
      title={`Stop ${shortId(session.sessionId)}`}
      action="Stop session"
      kind="danger"
      isSending={submission.isSending}
      error={submission.error}
      onClose={onClose}
      onSubmit={() => void submission.send({ reason: reason.trim(), drain })}
    >
      <p>Its files and processes are removed. Its jobs, their output and the timeline stay readable.</p>
      <Field label="Reason (optional)">
        {(id) => <input id={id} value={reason} maxLength={512} onInput={(event) => setReason(event.currentTarget.value)} />}
      </Field>
      <Checkbox label="Let queued jobs finish first" checked={drain} onChange={setDrain} />
    </Dialog>
  );
}
