import type { ComponentChildren } from "preact";
import type { Session } from "../api/types.js";
import { duration } from "../format.js";
import { useNow } from "../ui/now.js";
import { Button, Failure, JobBadge, type Tone } from "../ui/parts.js";
import type { TerminalState } from "./client.js";

interface Props {
  state: TerminalState;
  session: Session;
  /** Opens the same terminal again. */
  onOpen: () => void;
  /** Opens a new terminal; null if the session takes no more. */
  onOpenAnother: (() => void) | null;
}

/** The line below a terminal: its state, and what can be done about it. */
export function TerminalStatus({ state, session, onOpen, onOpenAnother }: Props) {
  switch (state.kind) {
    case "connecting":
      return (
        <Line tone="busy" end={<Keys />}>
          {connecting(state, session)}
        </Line>
      );
    case "connected":
      return (
        <Line tone="good" end={<Keys />}>
          Connected
        </Line>
      );
    case "lost":
      return <Lost state={state} onOpen={onOpen} />;
    case "detached":
      return (
        <Line tone="idle" end={<Button icon="again" label="Attach" onClick={onOpen} />}>
          Detached. Its program goes on{idle(session)}.
        </Line>
      );
    case "refused":
      return (
        <Line tone="warn" end={<Button icon="again" label="Open again" onClick={onOpen} />}>
          {state.message === ""
            ? "The permission to open this terminal was used by another client, or it expired."
            : `The server refused to open this terminal: ${state.message}.`}
        </Line>
      );
    case "ended":
      return (
        <Line
          tone={null}
          end={onOpenAnother && <Button icon="plus" label="New terminal" onClick={onOpenAnother} />}
        >
          <JobBadge job={state.job} /> {ending(state)}
        </Line>
      );
    case "failed":
      return <Failure error={state.error} onRetry={onOpen} />;
  }
}

function Line(props: { tone: Tone | null; end?: ComponentChildren; children: ComponentChildren }) {
  return (
    <div class={`terminal-status ${props.tone ?? ""}`}>
      <p class={props.tone === null ? "" : "dotted"} role="status">
        {props.children}
      </p>
      {props.end}
    </div>
  );
}

function Keys() {
  return (
    <span class="terminal-keys">
      <kbd>Ctrl</kbd> <kbd>Shift</kbd> <kbd>.</kbd> leaves the terminal
    </span>
  );
}

function Lost({ state, onOpen }: { state: TerminalState & { kind: "lost" }; onOpen: () => void }) {
  useNow(250);
  const left = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
  return (
    <Line tone="bad" end={<Button icon="again" label="Connect now" onClick={onOpen} />}>
      {state.message === "" ? "The connection was lost." : `The connection was closed: ${state.message}.`}{" "}
      <span aria-hidden="true">Connecting again{left > 0 && ` in ${left} s`}.</span>
    </Line>
  );
}

function connecting({ job, hasRun }: TerminalState & { kind: "connecting" }, session: Session): string {
  if (hasRun) return "Connecting again";
  if (job?.status === "queued" && session.status !== "ready") return `Waiting for the shell: ${session.status}`;
  return "Connecting";
}

function idle({ idleTimeoutSeconds }: Session): string {
  return idleTimeoutSeconds === undefined ? "" : ` until nobody has used it for ${duration(idleTimeoutSeconds * 1000)}`;
}

function ending({ job, message }: TerminalState & { kind: "ended" }): string {
  const reason = message || job.error?.message;
  if (reason) return `${reason.charAt(0).toUpperCase()}${reason.slice(1)}.`;
  if (!job.startedAt || !job.finishedAt) return "The terminal is closed.";
  return `The terminal is closed, after ${duration(Date.parse(job.finishedAt) - Date.parse(job.startedAt))}.`;
}
