/** Log groups: named after the stack, kept as long as the settings say, gone with the stack. */

import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { Settings } from './settings.ts';

/**
 * For what services deliver themselves: a policy of the account lets them, and it has a size limit. It
 * does not grow with groups of this prefix.
 */
export const VENDED = '/aws/vendedlogs';

export function logGroup(scope: Construct, id: string, name: string, settings: Settings, prefix = ''): LogGroup {
  return new LogGroup(scope, id, {
    logGroupName: `${prefix}/${Stack.of(scope).stackName}/${name}`,
    retention: settings.logRetentionDays,
    removalPolicy: RemovalPolicy.DESTROY,
  });
}
