/** The EventBridge rules: task events, failed executions, schedules. */

import { Duration } from 'aws-cdk-lib';
import type { CfnCluster } from 'aws-cdk-lib/aws-ecs';
import { EventField, Rule, RuleTargetInput, Schedule, type RuleProps } from 'aws-cdk-lib/aws-events';
import { LambdaFunction, SqsQueue } from 'aws-cdk-lib/aws-events-targets';
import type { Construct } from 'constructs';
import { named, type Functions } from './functions.ts';
import type { Handler } from './handlers.ts';
import { pascal } from './names.ts';
import type { Queues } from './queues.ts';
import type { Settings } from './settings.ts';

export interface Sources {
  readonly cluster: CfnCluster;
  readonly stateMachineArn: string;
  readonly queues: Queues;
  readonly functions: Functions;
}

/** Returns all rules by name. */
export function addEvents(scope: Construct, handlers: readonly Handler[], sources: Sources, settings: Settings): Record<string, Rule> {
  const rules: Record<string, Rule> = {};
  const { cluster, stateMachineArn, queues, functions } = sources;
  const add = (name: string, props: RuleProps) => {
    rules[name] = new Rule(scope, pascal(name), props);
  };
  add('task-events', {
    description: 'A task of the cluster runs, is to stop or has stopped',
    eventPattern: {
      source: ['aws.ecs'],
      detailType: ['ECS Task State Change'],
      // The states in between change no record: a session waits until its task runs, and then until it has stopped.
      detail: { clusterArn: [cluster.attrArn], lastStatus: ['RUNNING', 'STOPPED'] },
    },
    targets: [new SqsQueue(queues['task-events'].queue)],
  });
  add('failed-executions', {
    description: 'An execution ended without closing its session',
    eventPattern: {
      source: ['aws.states'],
      detailType: ['Step Functions Execution Status Change'],
      detail: { stateMachineArn: [stateMachineArn], status: ['FAILED', 'TIMED_OUT', 'ABORTED'] },
    },
    targets: [
      new LambdaFunction(named(functions, 'close-session'), {
        // The execution's name is the session's id.
        event: RuleTargetInput.fromObject({ sessionId: EventField.fromPath('$.detail.name') }),
      }),
    ],
  });
  for (const { name, trigger } of handlers) {
    if (trigger.type !== 'schedule') continue;
    add(`${name}-schedule`, {
      schedule: Schedule.rate(Duration.minutes(trigger.everyMinutes)),
      targets: [new LambdaFunction(named(functions, name), { event: RuleTargetInput.fromObject({}) })],
    });
  }
  if (settings.warm > 0) {
    add('fill-pool-schedule', {
      schedule: Schedule.rate(Duration.minutes(1)),
      targets: [
        new SqsQueue(queues.control.queue, { message: RuleTargetInput.fromObject({ type: 'fillPool' }) }),
      ],
    });
  }
  return rules;
}
