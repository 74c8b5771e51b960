// Sign-in by a link with a one-time code, which `ephemeral up` and `ephemeral console` print. The code is
// after the `#`, so it is in no request line and no Referer header.

/** The code in a fragment, if there is one. */
export function codeIn(fragment: string): string | null {
  return /^#code=([A-Za-z0-9_-]{16,128})$/.exec(fragment)?.[1] ?? null;
}

/** Takes the code out of the address bar and the history, and returns it. */
export function takeCode(): string | null {
  const code = codeIn(location.hash);
  if (code !== null) history.replaceState(null, "", location.pathname);
  return code;
}
