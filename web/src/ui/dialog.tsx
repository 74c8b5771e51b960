import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Button, Failure } from "./parts.js";

/** A dialog over the page with a form. Escape closes it; the focus returns to where it was. */
export function Dialog(props: {
  title: string;
  action: string;
  kind?: "primary" | "danger";
  isSending: boolean;
  error: Error | null;
  /** What may help against the error. */
  remedy?: { label: string; onClick: () => void } | undefined;
  onClose: () => void;
  onSubmit: () => void;
  children: ComponentChildren;
}) {
  const element = useRef<HTMLDialogElement>(null);
  const title = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    // Closing it returns the focus, also when the page removes it.
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      aria-labelledby={title}
      onClose={props.onClose}
      onMouseDown={(event) => event.target === element.current && element.current?.close()}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!props.isSending) props.onSubmit();
        }}
      >
        <header>
          <h2 id={title}>{props.title}</h2>
          <Button icon="close" label="Close" kind="quiet" compact onClick={() => element.current?.close()} />
        </header>
        <div class="dialog-body">{props.children}</div>
        {props.error && <Failure error={props.error} remedy={props.remedy} />}
        <footer>
          <Button label="Cancel" onClick={() => element.current?.close()} />
          <Button
            label={props.isSending ? "Sending…" : props.action}
            kind={props.kind ?? "primary"}
            submit
            disabled={props.isSending}
          />
        </footer>
      </form>
    </dialog>
  );
}

export function Field(props: { label: string; hint?: string; children: (id: string) => ComponentChildren }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.children(id)}
      {props.hint && <p class="hint">{props.hint}</p>}
    </div>
  );
}

export function Checkbox(props: { label: string; hint?: string; checked: boolean; onChange: (on: boolean) => void }) {
  return (
    <label class="checkbox">
      <input
        type="checkbox"
        checked={props.checked}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      <span>
        {props.label}
        {props.hint && <small>{props.hint}</small>}
      </span>
    </label>
  );
}

export function TextInput(props: {
  id: string;
  value: string;
  placeholder?: string;
  isUrl?: boolean;
  required?: boolean;
  onInput: (value: string) => void;
}) {
  return (
    <input
      id={props.id}
      {...(props.isUrl ? { type: "url" as const } : { type: "text" as const })}
      value={props.value}
      placeholder={props.placeholder ?? ""}
      required={props.required ?? false}
      autocomplete="off"
      spellcheck={false}
      onInput={(event) => props.onInput(event.currentTarget.value)}
    />
  );
}

/** Lines of code or of pairs. */
export function Lines(props: {
  id: string;
  value: string;
  rows?: number;
  placeholder?: string;
  onInput: (value: string) => void;
}) {
  return (
    <textarea
      id={props.id}
      class="code"
      rows={props.rows ?? 2}
      spellcheck={false}
      autocapitalize="off"
      placeholder={props.placeholder ?? ""}
      value={props.value}
      onInput={(event) => props.onInput(event.currentTarget.value)}
    />
  );
}

export function Select<T extends string | number>(props: {
  id: string;
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
}) {
  const choose = (text: string) => {
    const chosen = props.options.find(({ value }) => String(value) === text);
    if (chosen) props.onChange(chosen.value);
  };
  return (
    <select id={props.id} value={props.value} onChange={(event) => choose(event.currentTarget.value)}>
      {props.options.map(({ value, label }) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
  );
}
