// Reads that are repeated while a page shows them.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { useStore } from "../store.js";
import { Unreachable } from "./client.js";
import { lostSince, recoveries } from "./connection.js";

export interface Query<T> {
  /** The latest answer; it stays while a later read fails. */
  data: T | undefined;
  /** Why the latest read failed. A server that does not answer is no such reason: the page says it once. */
  error: Error | undefined;
  isLoading: boolean;
  refresh: () => void;
}

/** After a failure, a read is repeated after this time. */
const RETRY_MS = 3000;

/**
 * Reads now, after each interval, and when the server comes back. `key` names what is read: the data of
 * another key is not shown. `interval` is in milliseconds, and null after the last read.
 */
export function useQuery<T>(
  key: string,
  read: (signal: AbortSignal) => Promise<T>,
  interval: (data: T) => number | null,
): Query<T> {
  const [result, setResult] = useState<{ key: string; data?: T; error?: Error }>({ key });
  const [generation, setGeneration] = useState(0);
  const latest = useRef({ read, interval });
  latest.current = { read, interval };
  const recovered = useStore(recoveries);

  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const next = (ms: number | null) => {
      if (ms !== null && !signal.aborted) timer = setTimeout(() => void run(), ms);
    };
    const run = async () => {
      // A hidden page reads nothing; `visible` starts it again.
      if (document.hidden) return;
      try {
        const data = await latest.current.read(signal);
        if (signal.aborted) return;
        setResult({ key, data });
        next(latest.current.interval(data));
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Unreachable || lostSince.value !== null) return;
        setResult((before) => ({ ...(before.key === key ? before : { key }), error: error as Error }));
        next(RETRY_MS);
      }
    };
    const visible = () => {
      clearTimeout(timer);
      if (!document.hidden) void run();
    };
    document.addEventListener("visibilitychange", visible);
    void run();
    return () => {
      document.removeEventListener("visibilitychange", visible);
      clearTimeout(timer);
      controller.abort();
    };
  }, [key, generation, recovered]);

  const refresh = useCallback(() => setGeneration((before) => before + 1), []);
  const isCurrent = result.key === key;
  const data = isCurrent ? result.data : undefined;
  const error = isCurrent ? result.error : undefined;
  return { data, error, isLoading: data === undefined && error === undefined, refresh };
}
