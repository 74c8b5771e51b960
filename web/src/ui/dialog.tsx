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
        {props.error && <Failure error={props.error} />}
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
