/** Log groups: named after the stack, with the configured retention, deleted with the stack. */

import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { Settings } from './settings.ts';

/**
 * The prefix of log groups to which AWS services deliver. Each other group would add a statement to the account's
 * resource policy for log delivery, whose size is limited.
 */
export const VENDED = '/aws/vendedlogs';

export function logGroup(scope: Construct, id: string, name: string, settings: Settings, prefix = ''): LogGroup {
  return new LogGroup(scope, id, {
    logGroupName: `${prefix}/${Stack.of(scope).stackName}/${name}`,
    retention: settings.logRetentionDays,
    removalPolicy: RemovalPolicy.DESTROY,
  });
}
