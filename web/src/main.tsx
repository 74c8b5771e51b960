import { render } from "preact";
import "./style/base.css";
import "./style/parts.css";
import "./style/pages.css";
import "./style/output.css";
import "./style/terminal.css";
import { exchangeCode, Refused } from "./api/client.js";
import { App } from "./app.js";
import { parseRoute, route } from "./route.js";
import { takeCode } from "./sign-in/code.js";
import { signInByCallback } from "./sign-in/oauth.js";
import { signIn, signOut } from "./sign-in/token.js";

/** Signs in with the code in the address, if it has one. */
async function signInByCode(): Promise<void> {
  const code = takeCode();
  if (code === null) return;
  route.set(parseRoute(location.hash));
  try {
    signIn(await exchangeCode(code));
  } catch (error) {
    signOut(
      error instanceof Refused
        ? "This link was used before or is older than ten minutes. “ephemeral console” prints another one."
        : "The server does not answer. Open the link again when it runs.",
    );
  }
}

async function start(): Promise<void> {
  await signInByCode();
  await signInByCallback(location);
  route.set(parseRoute(location.hash));
  const root = document.getElementById("app");
  if (root) render(<App />, root);
  // A link may also be opened in a tab that shows the console.
  addEventListener("hashchange", () => void signInByCode());
}

void start();
