import { useEffect, useRef } from "preact/hooks";
import { lostSince, recoveries, retryNow } from "./api/connection.js";
import { duration } from "./format.js";
import { JobPage } from "./pages/job.js";
import { SessionPage } from "./pages/session.js";
import { SessionsPage } from "./pages/sessions.js";
import { Logo, SignInPage } from "./pages/sign-in.js";
import { WebhooksPage } from "./pages/webhooks.js";
import { route, sessionsLink, webhooksLink, type Route } from "./route.js";
import { leave } from "./sign-in/oauth.js";
import { signIns, token } from "./sign-in/token.js";
import { useStore } from "./store.js";
import { nextTheme, theme, type Theme } from "./theme.js";
import type { IconName } from "./ui/icon.js";
import { useNow } from "./ui/now.js";
import { Button, Empty } from "./ui/parts.js";

export function App() {
  const current = useStore(token);
  const signIn = useStore(signIns);
  return (
    <>
      <ConnectionBanner />
      {current === null ? <SignInPage /> : <Console key={signIn} />}
    </>
  );
}

const THEME_ICONS: Record<Theme, IconName> = { system: "theme", light: "sun", dark: "moon" };

function Console() {
  const shown = useStore(route);
  const selected = useStore(theme);
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  const key = "id" in shown ? shown.id : shown.page;
  useEffect(() => {
    document.title = title(shown);
    // A new page begins at its top, also for readers of the screen.
    if (!isFirst.current) main.current?.focus({ preventScroll: true });
    if (!isFirst.current) scrollTo(0, 0);
    isFirst.current = false;
  }, [key]);
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <header class="topbar">
        <a class="home" href={sessionsLink} aria-label="ephemeral: sessions">
          <Logo />
        </a>
        <nav aria-label="Main">
          <a href={sessionsLink} aria-current={shown.page === "webhooks" ? undefined : "page"}>
            Sessions
          </a>
          <a href={webhooksLink} aria-current={shown.page === "webhooks" ? "page" : undefined}>
            Webhooks
          </a>
        </nav>
        <span class="topbar-end">
          <Button icon={THEME_ICONS[selected]} label={`Colours: ${selected}`} kind="quiet" compact onClick={nextTheme} />
          <Button icon="leave" label="Sign out" kind="quiet" compact onClick={() => void leave(location)} />
        </span>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <Page route={shown} />
      </main>
      <footer class="foot">
        <a href="/assets/third-party-notices.txt" target="_blank" rel="noreferrer">
          Licences of third parties
        </a>
      </footer>
    </>
  );
}

function Page({ route: shown }: { route: Route }) {
  switch (shown.page) {
    case "sessions":
      return <SessionsPage />;
    case "session":
      return <SessionPage key={shown.id} id={shown.id} />;
    case "job":
      return <JobPage key={shown.id} id={shown.id} />;
    case "webhooks":
      return <WebhooksPage key={shown.sessionId ?? ""} sessionId={shown.sessionId} />;
    case "unknown":
      return (
        <Empty icon="search" title="There is no such page" isPage>
          <a class="button" href={sessionsLink}>
            All sessions
          </a>
        </Empty>
      );
  }
}

function title(shown: Route): string {
  const names: Record<Route["page"], string> = {
    sessions: "Sessions",
    session: "Session",
    job: "Job",
    webhooks: "Webhooks",
    unknown: "Not found",
  };
  return `${names[shown.page]} · ephemeral`;
}

/** Says that the server does not answer, and for how long. */
function ConnectionBanner() {
  const since = useStore(lostSince);
  const recovered = useStore(recoveries);
  return (
    <div class="connection" role="status">
      {since !== null ? <Lost since={since} /> : recovered > 0 && <Recovered key={recovered} />}
    </div>
  );
}

function Lost({ since }: { since: number }) {
  useNow(1000);
  const gone = Date.now() - since;
  return (
    <p class="lost">
      The server does not answer{gone >= 1000 && `, for ${duration(Math.floor(gone / 1000) * 1000).replace(/\.00 s|\.0 s/, " s")}`}.
      What you see may be out of date; trying again.
      <Button label="Try now" onClick={retryNow} />
    </p>
  );
}

function Recovered() {
  return <p class="recovered">The server answers again.</p>;
}
