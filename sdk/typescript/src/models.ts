// The API's types by name, as generated from its document.

import type { components } from "./schema.js";

type Schemas = components["schemas"];

export type Accepted = Schemas["Accepted"];
export type CommandUsage = NonNullable<Job["usage"]>;
export type Event = Schemas["Event"];
export type Execute = Schemas["Execute"];
export type Extend = Schemas["Extend"];
export type FileList = Schemas["FileList"];
export type InputError = NonNullable<Problem["errors"]>[number];
export type Job = Schemas["Job"];
export type JobStatus = Schemas["JobStatus"];
export type Mark = Schemas["Mark"];
export type Output = Schemas["Output"];
export type OutputStream = Output["stream"];
export type Problem = Schemas["Problem"];
export type ProblemCode = Problem["code"];
export type Process = Schemas["Process"];
export type Processes = Schemas["Processes"];
/** A line for a shell, or a program with its arguments. */
export type Program = string | readonly string[];
export type Quota = Schemas["Quota"];
export type Session = Schemas["Session"];
export type SessionStatus = Schemas["SessionStatus"];
export type Start = Schemas["Start"];
export type StoredFile = Schemas["StoredFile"];
export type Stream = Schemas["Stream"];
export type Timeline = Schemas["Timeline"];
export type Unpacked = Schemas["Unpacked"];
export type Upload = Schemas["Upload"];
export type UserEvent = Schemas["UserEvent"];
export type UserEvents = Schemas["UserEvents"];

/** Whether the job's record will not change any more. */
export function isFinal(job: Pick<Job, "status">): boolean {
  return job.status !== "queued" && job.status !== "running";
}
