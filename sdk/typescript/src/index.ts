// Disposable shells of ephemeral: start one, run commands in it, read the results, and rely on its removal.

export { Client, type ClientOptions } from "./client.js";
export {
  ApiError,
  CommandError,
  ConnectionFailedError,
  EphemeralError,
  JobFailedError,
  ServerNotFoundError,
  TerminalClosedError,
  WaitTimeoutError,
  WebhookError,
} from "./errors.js";
export { type Content, Files } from "./files.js";
export { Job } from "./job.js";
export type * as models from "./models.js";
export { type Chunk, type Piece, Result } from "./output.js";
export { type CommandOptions, type RunOptions, Shell, type StartOptions, type TerminalOptions } from "./shell.js";
export { Terminal } from "./terminal.js";
export { verifyWebhook, type WebhookEvent } from "./webhooks.js";
