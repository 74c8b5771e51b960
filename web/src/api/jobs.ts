// All jobs of a session. Pages whose jobs are all final are read once.

import { get } from "./client.js";
import { isFinal, type Job } from "./types.js";

const PAGE = 100;
/** A session with more jobs is shown without its last ones. */
const MAX_PAGES = 20;

interface Page {
  cursor: string | undefined;
  jobs: Job[];
  next: string | null;
}

export interface JobList {
  jobs: Job[];
  /** There are more jobs than are read. */
  isCut: boolean;
}

/** Reads the jobs of one session again and again. */
export class JobPages {
  #pages: Page[] = [];

  constructor(readonly sessionId: string) {}

  async read(signal: AbortSignal): Promise<JobList> {
    const changing = this.#pages.findIndex((page) => page.next === null || !page.jobs.every(isFinal));
    const pages = changing < 0 ? [...this.#pages] : this.#pages.slice(0, changing);
    let cursor: string | null | undefined = pages.at(-1)?.next;
    if (pages.length === 0) cursor = undefined;
    while (cursor !== null && pages.length < MAX_PAGES) {
      const query = cursor === undefined ? { limit: PAGE } : { limit: PAGE, cursor };
      const { data, nextCursor } = await get("/v1/sessions/{id}/jobs", { id: this.sessionId, query }, { signal });
      pages.push({ cursor, jobs: data, next: nextCursor });
      cursor = nextCursor;
    }
    this.#pages = pages;
    return { jobs: pages.flatMap((page) => page.jobs), isCut: cursor !== null };
  }
}
