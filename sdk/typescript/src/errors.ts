// What can go wrong. All errors derive from EphemeralError.

import type { InputError, Problem, ProblemCode } from "./models.js";
import type { Result } from "./output.js";

/** The base of all errors of this package. */
export class EphemeralError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** There is no server on this machine, or no token for the server. */
export class ServerNotFoundError extends EphemeralError {}

/** The server did not respond, also when the request was repeated. */
export class ConnectionFailedError extends EphemeralError {}

/** The connection to a terminal was refused or lost. The program may go on. */
export class TerminalClosedError extends EphemeralError {}

/** What was waited for did not come in time. */
export class WaitTimeoutError extends EphemeralError {}

/** A webhook is not genuine, or too old. */
export class WebhookError extends EphemeralError {}

/** A command did not succeed. `result` has its outcome and its output. */
export class CommandError extends EphemeralError {
  constructor(
    message: string,
    readonly result: Result,
  ) {
    super(message);
  }
}

/** A command could not be run, or its outcome is not known. `code` is a name such as `command_not_found`. */
export class JobFailedError extends CommandError {
  constructor(
    message: string,
    result: Result,
    readonly code: string,
  ) {
    super(message, result);
  }
}

/** The server refused a request; `code` says why. */
export class ApiError extends EphemeralError {
  /** A newer server may have other codes. */
  readonly code: ProblemCode | "unknown" | (string & {});
  readonly detail: string;
  /** What is wrong with the request, field by field. */
  readonly errors: readonly InputError[];
  /** Whether the same request may succeed later, after `retryAfter` seconds. */
  readonly retryable: boolean;
  readonly requestId: string;

  constructor(
    /** The status of HTTP. */
    readonly status: number,
    problem: Partial<Problem>,
    readonly retryAfter: number | null = null,
  ) {
    const detail = problem.detail || problem.title || `the server responded with ${status}`;
    super(message(status, detail, problem));
    this.code = problem.code ?? "unknown";
    this.detail = detail;
    this.errors = problem.errors ?? [];
    this.retryable = problem.retryable ?? [429, 502, 503, 504].includes(status);
    this.requestId = problem.requestId ?? "";
  }
}

function message(status: number, detail: string, { errors, requestId }: Partial<Problem>): string {
  let text = status === 401 ? `${detail}; check the token, or EPHEMERAL_TOKEN` : detail;
  for (const error of errors ?? []) {
    const where = error.pointer ?? error.parameter ?? error.header;
    const invalid = where ? `${where}: ${error.detail}` : error.detail;
    // The detail of a request with one wrong field is the error of that field.
    if (!text.includes(invalid)) text += `; ${invalid}`;
  }
  return status >= 500 && requestId ? `${text} (request ${requestId})` : text;
}
