// The commands that this tab has sent. The API does not tell a job's command, so only these can be shown
// and run again. They are kept in the tab's session storage, like the token.

import type { Execute, Job } from "./api/types.js";
import { shortId } from "./format.js";

/** An execute request without its session. Only a terminal may have no command, and this tab opens none. */
export type Command = Omit<Execute, "sessionId" | "command"> & {
  command: NonNullable<Execute["command"]>;
};

const KEY = "ephemeral.commands";
/** Older commands are forgotten. */
const KEPT = 200;

export function remember(jobId: string, command: Command): void {
  const all = [...read(), [jobId, command] as const].slice(-KEPT);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(all));
  } catch {
    // The storage is full: this command can't be run again from here, and all else works.
  }
}

export function commandOf(jobId: string): Command | undefined {
  return read().find(([id]) => id === jobId)?.[1];
}

/** The command as a line. */
export function commandLine(command: Command): string {
  const { command: program } = command;
  return typeof program === "string" ? program : (program ?? []).join(" ");
}

/** What a job is called: its command if this tab has sent it. */
export function jobName(job: Pick<Job, "jobId" | "type">): string {
  const command = commandOf(job.jobId);
  if (command) return commandLine(command);
  return job.type === "terminal" ? `terminal ${shortId(job.jobId)}` : shortId(job.jobId);
}

function read(): (readonly [string, Command])[] {
  const text = sessionStorage.getItem(KEY);
  return text === null ? [] : (JSON.parse(text) as [string, Command][]);
}
