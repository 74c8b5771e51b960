// What the form for a command has, and the request that it means.

import type { Command } from "../commands.js";
import { FormError, parseDuration, parsePairs } from "./start-form.js";

export interface CommandForm {
  line: string;
  user: string;
  cwd: string;
  timeout: string;
  shell: "" | "bash" | "sh";
  keep: "both" | "head" | "tail";
  env: string;
  stdin: string;
  isParallel: boolean;
  isBackground: boolean;
}

export const emptyCommand: CommandForm = {
  line: "",
  user: "",
  cwd: "",
  timeout: "",
  shell: "",
  keep: "both",
  env: "",
  stdin: "",
  isParallel: false,
  isBackground: false,
};

/** The request of a form, without its session. What is left empty is left to the server. */
export function commandRequest(form: CommandForm): Command {
  const request: Command = { command: form.line };
  const [user, cwd] = [form.user.trim(), form.cwd.trim()];
  if (user !== "") request.user = user;
  if (cwd !== "" && !cwd.startsWith("/")) throw new FormError("Directory: write a path that begins with /");
  if (cwd !== "") request.cwd = cwd;
  if (form.timeout.trim() !== "") request.timeoutSeconds = parseDuration("Time limit", form.timeout);
  if (form.shell !== "") request.shell = form.shell;
  if (form.keep !== "both") request.keep = form.keep;
  const env = parsePairs("Environment", form.env);
  if (Object.keys(env).length > 0) request.env = env;
  if (form.stdin !== "") request.stdin = form.stdin;
  if (form.isParallel) request.concurrency = "parallel";
  if (form.isBackground) request.background = true;
  return request;
}

/** How many of the options differ from the server's defaults. */
export function changedOptions(form: CommandForm): number {
  const names = Object.keys(emptyCommand) as (keyof CommandForm)[];
  return names.filter((name) => name !== "line" && form[name] !== emptyCommand[name]).length;
}
