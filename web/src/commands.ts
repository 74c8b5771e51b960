// The commands that this tab has sent. The API does not tell a job's command, so only these can be shown
// and run again. They are kept in the tab's session storage, like the token.

import type { Execute } from "./api/types.js";

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
  return typeof command.command === "string" ? command.command : command.command.join(" ");
}

function read(): (readonly [string, Command])[] {
  const text = sessionStorage.getItem(KEY);
  return text === null ? [] : (JSON.parse(text) as [string, Command][]);
}
