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
  /** Whether a shared shell of the session runs it, and the name of that. */
  isShared: boolean;
  shellName: string;
  env: string;
  stdin: string;
  isParallel: boolean;
  isBackground: boolean;
  isMerged: boolean;
}

export const emptyCommand: CommandForm = {
  line: "",
  user: "",
  cwd: "",
  timeout: "",
  shell: "",
  keep: "both",
  isShared: false,
  shellName: "",
  env: "",
  stdin: "",
  isParallel: false,
  isBackground: false,
  isMerged: false,
};

/** What has no meaning for a command that a shared shell runs: it would change the shell, or have no effect. */
const notShared = ["cwd", "shell", "env", "isParallel", "isBackground"] as const;

/** The form without the options that do not count. */
function effective(form: CommandForm): CommandForm {
  if (!form.isShared) return { ...form, shellName: "" };
  return { ...form, ...Object.fromEntries(notShared.map((name) => [name, emptyCommand[name]])) };
}

/** The request of a form, without its session. What is left empty is left to the server. */
export function commandRequest(filled: CommandForm): Command {
  const form = effective(filled);
  const request: Command = { command: form.line };
  const [user, cwd] = [form.user.trim(), form.cwd.trim()];
  if (user !== "") request.user = user;
  if (cwd !== "" && !cwd.startsWith("/")) throw new FormError("Directory: write a path that begins with /");
  if (cwd !== "") request.cwd = cwd;
  if (form.timeout.trim() !== "") request.timeoutSeconds = parseDuration("Time limit", form.timeout);
  if (form.shell !== "") request.shell = form.shell;
  if (form.keep !== "both") request.keep = form.keep;
  if (form.isShared) request.state = "shared";
  const shellName = form.shellName.trim();
  if (shellName !== "") request.shellName = shellName;
  const env = parsePairs("Environment", form.env);
  if (Object.keys(env).length > 0) request.env = env;
  if (form.stdin !== "") request.stdin = form.stdin;
  if (form.isParallel) request.concurrency = "parallel";
  if (form.isBackground) request.background = true;
  if (form.isMerged) request.merge = true;
  return request;
}

/** How many of the options differ from the server's defaults. */
export function changedOptions(filled: CommandForm): number {
  const form = effective(filled);
  const names = Object.keys(emptyCommand) as (keyof CommandForm)[];
  return names.filter((name) => name !== "line" && form[name] !== emptyCommand[name]).length;
}
