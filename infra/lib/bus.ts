/** The EventBridge bus for all events of all users, and the stream of the table that feeds it. */

import { EventBus } from 'aws-cdk-lib/aws-events';
import { CfnEventSourceMapping, type Function } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import type { Resources } from './resources.ts';
import type { Settings } from './settings.ts';

export function addBus(scope: Construct, settings: Settings): EventBus | undefined {
  return settings.bus ? new EventBus(scope, 'Bus', { eventBusName: settings.stackName, description: 'All events of ephemeral' }) : undefined;
}

/** The bus, in a deployment that has one. */
export function required({ bus }: Resources): EventBus {
  if (bus === undefined) throw new Error('a function publishes events, but the deployment has no bus');
  return bus;
}

/** The ARN of the table's stream. */
export function streamArn({ table }: Resources): string {
  if (table.tableStreamArn === undefined) throw new Error('a function publishes events, but the table has no stream');
  return table.tableStreamArn;
}

/** Calls a function with the events that transactions have added to the table. */
export function addEventsSource(fn: Function, batchSize: number, resources: Resources) {
  const mapping = new CfnEventSourceMapping(fn, 'Events', {
    functionName: fn.functionName,
    eventSourceArn: streamArn(resources),
    startingPosition: 'TRIM_HORIZON',
    batchSize,
    // A delay of up to a second costs fewer invocations where many commands end.
    maximumBatchingWindowInSeconds: 1,
    // What can't be published is tried again until the stream forgets it, after 24 hours.
    functionResponseTypes: ['ReportBatchItemFailures'],
    filterCriteria: {
      filters: [{ pattern: JSON.stringify({ eventName: ['INSERT'], dynamodb: { Keys: { pk: { S: [{ prefix: 'events#' }] } } } }) }],
    },
  });
  // Lambda checks the permissions of the role when the mapping is created.
  if (fn.role) mapping.node.addDependency(fn.role);
}
