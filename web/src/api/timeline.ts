// The timeline of a session. Events never change, so each is read once.

import { get } from "./client.js";
import type { TimelineEvent } from "./types.js";

const PAGE = 100;

/** Reads the new events of one session again and again. */
export class Timeline {
  #events: TimelineEvent[] = [];

  constructor(readonly sessionId: string) {}

  async read(signal: AbortSignal): Promise<TimelineEvent[]> {
    let events = this.#events;
    for (;;) {
      const query = { after: events.at(-1)?.seq ?? 0, limit: PAGE };
      const { data } = await get("/v1/sessions/{id}/events", { id: this.sessionId, query }, { signal });
      events = [...events, ...data];
      if (data.length < PAGE) break;
    }
    this.#events = events;
    return events;
  }
}
