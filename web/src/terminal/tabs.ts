// The terminals that a page shows side by side. Which they are is kept in the tab's session storage, so that
// they are there again after a reload.

import { Store } from "../store.js";
import { TerminalClient } from "./client.js";

export interface TerminalTab {
  /** Counts from 1 in each page. */
  number: number;
  client: TerminalClient;
}

const KEY = "ephemeral.terminals";

export class TerminalTabs {
  readonly all = new Store<readonly TerminalTab[]>([]);
  /** The number of the tab that is shown. */
  readonly shown = new Store(0);
  readonly #sessionId: string;
  #last = 0;

  constructor(sessionId: string) {
    this.#sessionId = sessionId;
    for (const jobId of stored()[sessionId] ?? []) this.#add(jobId);
  }

  /** Shows a new terminal, recorded or not, or that of a job that runs. */
  open(jobId: string | null = null, isRecorded = false): void {
    this.shown.set(this.#add(jobId, isRecorded));
    this.#store();
  }

  /** Takes a terminal out of the page. Its program goes on. */
  close(number: number): void {
    const at = this.all.value.findIndex((tab) => tab.number === number);
    this.all.value[at]?.client.dispose();
    const rest = this.all.value.filter((tab) => tab.number !== number);
    this.all.set(rest);
    if (this.shown.value === number) this.shown.set((rest[at] ?? rest.at(-1))?.number ?? 0);
    this.#store();
  }

  /** Releases all terminals; their programs go on. */
  dispose(): void {
    for (const tab of this.all.value) tab.client.dispose();
  }

  #add(jobId: string | null, isRecorded = false): number {
    const number = ++this.#last;
    const client = new TerminalClient(this.#sessionId, jobId, isRecorded);
    client.jobId.subscribe(() => this.#store());
    this.all.set([...this.all.value, { number, client }]);
    if (this.shown.value === 0) this.shown.set(number);
    return number;
  }

  #store(): void {
    const ids = this.all.value.map((tab) => tab.client.jobId.value).filter((id) => id !== null);
    try {
      sessionStorage.setItem(KEY, JSON.stringify({ ...stored(), [this.#sessionId]: ids }));
    } catch {
      // The storage is full: after a reload, the terminals are offered instead of shown.
    }
  }
}

function stored(): Record<string, string[]> {
  const text = sessionStorage.getItem(KEY);
  return text === null ? {} : (JSON.parse(text) as Record<string, string[]>);
}
