import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { accepts } from "../api/client.js";
import { loadConfig, type Config, type IssuerSignIn } from "../sign-in/config.js";
import { authorizationUrl } from "../sign-in/oauth.js";
import { signedOutBecause, signIn } from "../sign-in/token.js";
import { useStore } from "../store.js";
import { Field } from "../ui/dialog.js";
import { Button, Failure } from "../ui/parts.js";

/** Asks the user to sign in, in the way of this deployment. */
export function SignInPage() {
  const reason = useStore(signedOutBecause);
  const [config, setConfig] = useState<Config | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const read = () => {
    setError(null);
    void loadConfig().then(setConfig, setError);
  };
  useEffect(read, []);
  return (
    <main class="sign-in" id="main">
      <Logo />
      {config?.signIn === "token" && <TokenForm reason={reason} />}
      {config?.signIn === "oauth" && <IssuerForm reason={reason} config={config} />}
      {error && (
        <SignInCard reason={reason} onSubmit={read}>
          <Failure error={error} />
          <Button label="Try again" submit />
        </SignInCard>
      )}
    </main>
  );
}

interface CardProps {
  reason: string | null;
  onSubmit: () => void;
  children: ComponentChildren;
}

function SignInCard({ reason, onSubmit, children }: CardProps) {
  return (
    <form
      class="card padded"
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit();
      }}
    >
      <h1>Sign in</h1>
      {reason && (
        <p class="session-note" role="status">
          {reason}
        </p>
      )}
      {children}
    </form>
  );
}

/** Leads to the page of the issuer. */
function IssuerForm({ reason, config }: { reason: string | null; config: IssuerSignIn }) {
  const [isLeaving, setLeaving] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const submit = async () => {
    if (isLeaving) return;
    setLeaving(true);
    setError(null);
    try {
      location.assign(await authorizationUrl(config, `${location.origin}/`, location.hash));
    } catch {
      setLeaving(false);
      setError(new Error(`The issuer ${new URL(config.issuer).host} can’t be asked for a token. Try again.`));
    }
  };
  return (
    <SignInCard reason={reason} onSubmit={() => void submit()}>
      <p>You are asked for your name and password on another page, which leads back here.</p>
      {error && <Failure error={error} />}
      <Button label={isLeaving ? "Opening the page…" : "Sign in"} kind="primary" submit disabled={isLeaving} />
    </SignInCard>
  );
}

/** Asks for a token, or says how to get a link. */
function TokenForm({ reason }: { reason: string | null }) {
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
    <SignInCard reason={reason} onSubmit={() => void submit()}>
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
    </SignInCard>
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
