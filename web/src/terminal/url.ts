// Where a data channel is.

/** Addresses by which a server on one machine may name itself. */
const OWN = /^(0\.0\.0\.0|127\.0\.0\.1|\[::\]|\[::1\]|localhost)$/;

/**
 * The URL under which this page reaches a data channel. A server on one machine names the address on which
 * it listens; the page may have it under another name, and may connect to its own origin only.
 */
export function reachable(streamUrl: string, page: { protocol: string; host: string }): string {
  const url = new URL(streamUrl);
  if (!OWN.test(url.hostname)) return streamUrl;
  const scheme = page.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${page.host}${url.pathname}${url.search}`;
}
