import { useState } from "preact/hooks";
import { accepts } from "../api/client.js";
import { signedOutBecause, signIn } from "../sign-in/token.js";
import { useStore } from "../store.js";
import { Field } from "../ui/dialog.js";
import { Button, Failure } from "../ui/parts.js";

/** Asks for a token, or says how to get a link. */
export function SignInPage() {
  const reason = useStore(signedOutBecause);
  const [value, setValue] = useState("");
  const [isSending, setSending] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const submit = async () => {
    const candidate = value.trim();
    if (candidate === "" || isSending) return;
    setSending(true);
    setError(null);
    try {
      if (await accepts(candidate)) signIn(candidate);
      else setError(new Error("The server does not know this token."));
    } catch (failure) {
      setError(failure as Error);
    } finally {
      setSending(false);
    }
  };
  return (
    <main class="sign-in" id="main">
      <Logo />
      <form
        class="card padded"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <h1>Sign in</h1>
        {reason && (
          <p class="session-note" role="status">
            {reason}
          </p>
        )}
        <p>
          On the machine of the server, <code>ephemeral console</code> prints a link that signs you in.
        </p>
        <Field label="Or paste a token" hint="It stays in this tab and is forgotten when you close it.">
          {(id) => (
            <input
              id={id}
              type="password"
              autocomplete="off"
              spellcheck={false}
              placeholder="eph_…"
              value={value}
              onInput={(event) => setValue(event.currentTarget.value)}
            />
          )}
        </Field>
        {error && <Failure error={error} />}
        <Button label={isSending ? "Checking…" : "Sign in"} kind="primary" submit disabled={isSending || value.trim() === ""} />
      </form>
    </main>
  );
}

export function Logo() {
  return (
    <span class="logo">
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="8" />
        <path d="M8 10.5 13.5 16 8 21.5M16.5 21.5h3.2" />
        <path class="dots" d="M22.4 21.5h.1M26 21.5h.1" />
      </svg>
      ephemeral
    </span>
  );
}
