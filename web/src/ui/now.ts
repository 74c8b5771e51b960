// The time, for what counts or grows while it is shown.

import { useEffect, useState } from "preact/hooks";
import { serverNow } from "../api/clock.js";

/** The server's time in milliseconds, updated after each interval (milliseconds); with null, read once. */
export function useNow(interval: number | null): number {
  const [now, setNow] = useState(serverNow());
  useEffect(() => {
    setNow(serverNow());
    if (interval === null) return;
    const timer = setInterval(() => setNow(serverNow()), interval);
    return () => clearInterval(timer);
  }, [interval]);
  return now;
}
