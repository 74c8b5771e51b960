/** The resources that functions can be granted. */

import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import type { CfnCluster } from 'aws-cdk-lib/aws-ecs';
import type { EventBus } from 'aws-cdk-lib/aws-events';
import type { Bucket } from 'aws-cdk-lib/aws-s3';
import type { Instances } from './instances.ts';
import type { Link } from './link.ts';
import type { Network } from './network.ts';
import type { Queues } from './queues.ts';
import type { ShellTask } from './task.ts';

export interface Resources {
  readonly table: Table;
  readonly indexNames: readonly string[];
  readonly queues: Queues;
  /** Built from the name, because the machine's definition refers to functions whose roles refer to the machine. */
  readonly stateMachineArn: string;
  readonly cluster: CfnCluster;
  readonly task: ShellTask;
  readonly network: Network;
  /** Absent on Fargate. */
  readonly instances: Instances | undefined;
  /** Through it, files go between clients and shells. */
  readonly files: Bucket;
  /** The bus for all events of all users, if the deployment has one. */
  readonly bus: EventBus | undefined;
  /** Absent where runners are reached by ECS Exec. */
  readonly link: Link | undefined;
}
