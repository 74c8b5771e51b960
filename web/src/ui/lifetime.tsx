import { hasEnded, type Session } from "../api/types.js";
import { countdown } from "../format.js";

/** Below this rest a countdown is urgent. Milliseconds. */
const URGENT_MS = 60_000;

/** How much of a session's lifetime is left. */
export function Lifetime({ session, now }: { session: Session; now: number }) {
  if (hasEnded(session)) return <span class="muted">{session.reason?.replaceAll("_", " ") ?? "ended"}</span>;
  if (session.expiresAt === undefined) {
    return <span class="muted">{session.position ? `waits, position ${session.position}` : "waits"}</span>;
  }
  const left = Date.parse(session.expiresAt) - now;
  if (left <= 0) return <span class="muted">ends now</span>;
  const part = Math.min(1, left / (session.ttlSeconds * 1000));
  return (
    <span class={`lifetime ${left < URGENT_MS ? "urgent" : ""}`}>
      <span class="lifetime-bar" aria-hidden="true">
        <span style={{ width: `${part * 100}%` }} />
      </span>
      <span role="timer" aria-label="Time left">
        {countdown(left)}
      </span>
    </span>
  );
}
