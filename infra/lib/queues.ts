/** A queue for each lane, and behind each another for what could not be worked off. */

import { Duration } from 'aws-cdk-lib';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { LANES, type Handler, type Lane } from './handlers.ts';
import { pascal } from './names.ts';

export interface LaneQueue {
  readonly queue: Queue;
  readonly dead: Queue;
}

export type Queues = Readonly<Record<Lane, LaneQueue>>;

/** After so many tries a message is given up. The sweep rings again for what is on record. */
const TRIES = 5;

export function addQueues(scope: Construct, handlers: readonly Handler[]): Queues {
  return Object.fromEntries(LANES.map((lane) => [lane, addQueue(scope, lane, handlers)])) as Record<Lane, LaneQueue>;
}

function addQueue(scope: Construct, lane: Lane, handlers: readonly Handler[]): LaneQueue {
  const worker = handlers.find(({ trigger }) => trigger.type === 'queue' && trigger.lane === lane);
  if (worker === undefined) throw new Error(`handlers.json must have a function for lane ${lane}`);
  const id = pascal(lane);
  const dead = new Queue(scope, `${id}DeadLetters`, {
    encryption: QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    retentionPeriod: Duration.days(14),
  });
  const queue = new Queue(scope, `${id}Queue`, {
    encryption: QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    // Lambda's own advice: room for the retries of a batch that was throttled.
    visibilityTimeout: Duration.seconds(6 * worker.timeoutSeconds),
    retentionPeriod: Duration.days(4),
    deadLetterQueue: { queue: dead, maxReceiveCount: TRIES },
  });
  return { queue, dead };
}
