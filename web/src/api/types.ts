// The API's types by name, as generated from handlers/src/http/openapi.json.

import type { components } from "./schema.js";

type Schemas = components["schemas"];

export type Accepted = Schemas["Accepted"];
export type Delivery = Schemas["Delivery"];
export type Execute = Schemas["Execute"];
export type Job = Schemas["Job"];
export type JobStatus = Schemas["JobStatus"];
export type Output = Schemas["Output"];
export type OutputStream = Output["stream"];
export type Problem = Schemas["Problem"];
export type Quota = Schemas["Quota"];
export type Session = Schemas["Session"];
export type SessionStatus = Schemas["SessionStatus"];
export type Start = Schemas["Start"];
export type TimelineEvent = Schemas["Event"];

const endedSession: readonly SessionStatus[] = ["stopped", "failed"];
const openJob: readonly JobStatus[] = ["queued", "running"];

/** Whether the session's record will not change any more. */
export function hasEnded(session: Pick<Session, "status">): boolean {
  return endedSession.includes(session.status);
}

/** Whether the job is a program that runs in the session: a command or a terminal. */
export function isCommand(job: Pick<Job, "type">): boolean {
  return job.type === "execute" || job.type === "terminal";
}

/** Whether the session still takes commands. */
export function takesCommands(session: Session): boolean {
  return !hasEnded(session) && session.status !== "stopping" && !session.draining;
}

/** Whether the job's record will not change any more. */
export function isFinal(job: Pick<Job, "status">): boolean {
  return !openJob.includes(job.status);
}
