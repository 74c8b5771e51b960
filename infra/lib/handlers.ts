/** The Lambda functions, as the Rust side lists them in `handlers.json`. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const LANES = ['control', 'exec', 'task-events', 'webhooks'] as const;
export type Lane = (typeof LANES)[number];

export type Use =
  | 'store'
  | `queue:${Lane}`
  | 'workflow:start'
  | 'workflow:resume'
  | 'compute:run'
  | 'compute:stop'
  | 'compute:read'
  | 'shell'
  | 'webhooks';

export type Trigger =
  | { readonly type: 'http' }
  | { readonly type: 'queue'; readonly lane: Lane; readonly batchSize: number }
  | { readonly type: 'workflow'; readonly placeholder: string }
  | { readonly type: 'schedule'; readonly everyMinutes: number };

export interface Handler {
  /** `_HANDLER`: what the one binary is to be. */
  readonly name: string;
  readonly trigger: Trigger;
  /** All that it may touch. */
  readonly uses: readonly Use[];
  readonly memoryMiB: number;
  readonly timeoutSeconds: number;
}

export function readHandlers(): readonly Handler[] {
  const path = join(import.meta.dirname, '..', 'handlers.json');
  return (JSON.parse(readFileSync(path, 'utf8')) as { functions: Handler[] }).functions;
}

/** The one handler that this trigger runs. */
export function only(handlers: readonly Handler[], type: Trigger['type']): Handler {
  const [found, ...others] = handlers.filter((handler) => handler.trigger.type === type);
  if (found === undefined || others.length > 0) throw new Error(`handlers.json must have one function of type ${type}`);
  return found;
}
