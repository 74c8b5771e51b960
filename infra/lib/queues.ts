/** A queue for each lane, each with a dead-letter queue. */

import { Duration } from 'aws-cdk-lib';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { LANES, type Handler, type Lane } from './handlers.ts';
import { pascal } from './names.ts';

export interface LaneQueue {
  readonly queue: Queue;
  readonly deadLetters: Queue;
}

export type Queues = Readonly<Record<Lane, LaneQueue>>;

/** After this many receives a message moves to the dead-letter queue. The sweep sends new messages for due records. */
const MAX_RECEIVES = 5;

export function addQueues(scope: Construct, handlers: readonly Handler[]): Queues {
  return Object.fromEntries(LANES.map((lane) => [lane, addQueue(scope, lane, handlers)])) as Record<Lane, LaneQueue>;
}

function addQueue(scope: Construct, lane: Lane, handlers: readonly Handler[]): LaneQueue {
  const worker = handlers.find(({ trigger }) => trigger.type === 'queue' && trigger.lane === lane);
  if (worker === undefined) throw new Error(`handlers.json must have a function for lane ${lane}`);
  const id = pascal(lane);
  const deadLetters = new Queue(scope, `${id}DeadLetters`, {
    encryption: QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    retentionPeriod: Duration.days(14),
  });
  const queue = new Queue(scope, `${id}Queue`, {
    encryption: QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    // AWS recommends six times the function's timeout, which leaves time to retry a throttled batch.
    visibilityTimeout: Duration.seconds(6 * worker.timeoutSeconds),
    retentionPeriod: Duration.days(4),
    deadLetterQueue: { queue: deadLetters, maxReceiveCount: MAX_RECEIVES },
  });
  return { queue, deadLetters };
}
