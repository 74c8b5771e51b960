/** The Lambda functions, as `handlers.json` lists them; a Rust test writes that file. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Transport } from './settings.ts';

export const LANES = ['control', 'exec', 'task-events', 'webhooks'] as const;
export type Lane = (typeof LANES)[number];

export type Permission =
  | 'store'
  | `queue:${Lane}`
  | 'workflow:start'
  | 'workflow:resume'
  | 'compute:run'
  | 'compute:stop'
  | 'compute:read'
  | 'shell'
  | 'shell:post'
  | 'transfers'
  | 'webhooks'
  | 'publish';

export type Trigger =
  | { readonly type: 'http' }
  | { readonly type: 'queue'; readonly lane: Lane; readonly batchSize: number }
  | { readonly type: 'workflow'; readonly placeholder: string }
  | { readonly type: 'schedule'; readonly everyMinutes: number }
  | { readonly type: 'events'; readonly batchSize: number }
  /** The connections of runners; only where the transport is `link`. */
  | { readonly type: 'link' };

export interface Handler {
  /** `_HANDLER`, which selects the function in the binary. */
  readonly name: string;
  readonly trigger: Trigger;
  /** The complete list of its permissions. */
  readonly uses: readonly Permission[];
  readonly memoryMiB: number;
  readonly timeoutSeconds: number;
}

/** The functions of a deployment with or without a bus for events, and with this transport. */
export function readHandlers({ bus, transport }: { readonly bus: boolean; readonly transport: Transport }): readonly Handler[] {
  const path = join(import.meta.dirname, '..', 'handlers.json');
  const { functions } = JSON.parse(readFileSync(path, 'utf8')) as { functions: Handler[] };
  return functions.filter(({ trigger }) => (bus || trigger.type !== 'events') && (transport === 'link' || trigger.type !== 'link'));
}

/** The only handler with this type of trigger. */
export function only(handlers: readonly Handler[], type: Trigger['type']): Handler {
  const [found, ...others] = handlers.filter((handler) => handler.trigger.type === type);
  if (found === undefined || others.length > 0) throw new Error(`handlers.json must have one function of type ${type}`);
  return found;
}
