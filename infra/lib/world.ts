/** What functions can touch. */

import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import type { CfnCluster } from 'aws-cdk-lib/aws-ecs';
import type { Network } from './network.ts';
import type { Queues } from './queues.ts';
import type { ShellTask } from './task.ts';

export interface World {
  readonly table: Table;
  readonly indexNames: readonly string[];
  readonly queues: Queues;
  /** Built from its name: the machine's definition names functions, whose rights name the machine. */
  readonly stateMachineArn: string;
  readonly cluster: CfnCluster;
  readonly task: ShellTask;
  readonly network: Network;
}
