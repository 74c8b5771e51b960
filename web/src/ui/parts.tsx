// Small parts of several pages.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { explain } from "../api/submit.js";
import { isCommand, type Job, type JobStatus, type SessionStatus } from "../api/types.js";
import { ago, dateTime, signalName } from "../format.js";
import { Icon, type IconName } from "./icon.js";

export function Button(props: {
  icon?: IconName;
  label: string;
  kind?: "primary" | "danger" | "quiet";
  /** Shows the icon only; the label is its name. */
  compact?: boolean;
  disabled?: boolean;
  submit?: boolean;
  pressed?: boolean;
  onClick?: () => void;
}) {
  return (
    <button
      type={props.submit ? "submit" : "button"}
      class={`button ${props.kind ?? ""} ${props.compact ? "compact" : ""}`}
      disabled={props.disabled}
      aria-pressed={props.pressed}
      title={props.compact ? props.label : undefined}
      onClick={props.onClick}
    >
      {props.icon && <Icon name={props.icon} />}
      <span class={props.compact ? "visually-hidden" : ""}>{props.label}</span>
    </button>
  );
}

export type Tone = "good" | "busy" | "warn" | "bad" | "idle";

const SESSION_TONES: Record<SessionStatus, Tone> = {
  queued: "idle",
  provisioning: "busy",
  starting: "busy",
  ready: "good",
  stopping: "warn",
  stopped: "idle",
  failed: "bad",
};

const JOB_TONES: Record<JobStatus, Tone> = {
  queued: "idle",
  running: "busy",
  completed: "good",
  failed: "bad",
  timed_out: "warn",
  cancelled: "idle",
  lost: "bad",
};

export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

export function SessionBadge({ status }: { status: SessionStatus }) {
  return <Badge tone={SESSION_TONES[status]}>{status}</Badge>;
}

/** How a job stands: a command that completed says how it exited. */
export function outcome(job: Job): { tone: Tone; text: string } {
  if (isCommand(job) && job.status === "completed") {
    if (job.signal !== undefined) return { tone: "warn", text: signalName(job.signal) };
    return { tone: job.exitCode === 0 ? "good" : "warn", text: `exit ${job.exitCode}` };
  }
  return { tone: JOB_TONES[job.status], text: job.status.replace("_", " ") };
}

export function JobBadge({ job }: { job: Job }) {
  const { tone, text } = outcome(job);
  return <Badge tone={tone}>{text}</Badge>;
}

/** A failure, with a button that may help. */
export function Failure(props: {
  error: Error;
  onRetry?: () => void;
  remedy?: { label: string; onClick: () => void } | undefined;
}) {
  const { message, details } = explain(props.error);
  const remedy = props.remedy ?? (props.onRetry && { label: "Try again", onClick: props.onRetry });
  return (
    <div class="failure" role="alert">
      <Icon name="alert" />
      <div>
        <p>{message}</p>
        {details.length > 0 && (
          <ul>
            {details.map((detail) => (
              <li key={detail}>{detail}</li>
            ))}
          </ul>
        )}
      </div>
      {remedy && <Button label={remedy.label} onClick={remedy.onClick} />}
    </div>
  );
}

/** Stands for something that can't be read. `isPage` if the page has nothing else. */
export function Unreadable(props: { title: string; error: Error; isPage?: boolean; onRetry: () => void }) {
  const { message } = explain(props.error);
  return (
    <Empty icon="alert" title={props.title} isPage={props.isPage ?? false} isBad>
      <p role="alert">{message}</p>
      <Button icon="again" label="Try again" onClick={props.onRetry} />
    </Empty>
  );
}

/** Says that there is nothing to show. `isPage` if the page has nothing else. */
export function Empty(props: {
  icon: IconName;
  title: string;
  isPage?: boolean;
  isBad?: boolean;
  children?: ComponentChildren;
}) {
  const Heading = props.isPage ? "h1" : "h2";
  return (
    <div class={`empty ${props.isBad ? "bad" : ""}`}>
      <Icon name={props.icon} />
      <Heading>{props.title}</Heading>
      {props.children}
    </div>
  );
}

/** Stands for lines that are being read. `isPage` if the page has nothing else. */
export function Skeleton({ lines, label, isPage }: { lines: number; label: string; isPage?: boolean }) {
  const Label = isPage ? "h1" : "span";
  return (
    <div class={`skeleton ${isPage ? "page" : ""}`} role="status">
      <Label class="visually-hidden">{label}</Label>
      {Array.from({ length: lines }, (_, line) => (
        <span key={line} class="skeleton-line" />
      ))}
    </div>
  );
}

export function Ago({ at, now }: { at: string; now: number }) {
  return (
    <time dateTime={at} title={dateTime(at)}>
      {ago(now - Date.parse(at))}
    </time>
  );
}

/** An id that can be copied. */
export function Copyable({ text }: { text: string }) {
  const [isCopied, setCopied] = useState(false);
  // The clipboard exists only on https and loopback.
  if (!("clipboard" in navigator) || navigator.clipboard === undefined) return <code class="id">{text}</code>;
  const copy = async () => {
    await navigator.clipboard.writeText(text).then(
      () => setCopied(true),
      () => setCopied(false),
    );
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <span class="copyable">
      <code class="id">{text}</code>
      <Button
        icon={isCopied ? "check" : "copy"}
        label={isCopied ? "Copied" : "Copy"}
        kind="quiet"
        compact
        onClick={() => void copy()}
      />
    </span>
  );
}

export function Facts({ children }: { children: ComponentChildren }) {
  return <dl class="facts">{children}</dl>;
}

export function Fact({ name, wide, children }: { name: string; wide?: boolean; children: ComponentChildren }) {
  return (
    <div class={wide ? "wide" : undefined}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Metadata({ of }: { of: Record<string, string> }) {
  const pairs = Object.entries(of);
  if (pairs.length === 0) return null;
  return (
    <ul class="metadata" aria-label="Metadata">
      {pairs.map(([key, value]) => (
        <li key={key}>
          <span>{key}</span> {value}
        </li>
      ))}
    </ul>
  );
}

/** One of a few values, as a row of buttons. */
export function Segmented<T extends string>(props: {
  label: string;
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
}) {
  return (
    <div class="segmented" role="group" aria-label={props.label}>
      {props.options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === props.value}
          onClick={() => props.onChange(option.value)}
        >
          {option.label}
        </button>
      ))}
    </div>
  );
}
