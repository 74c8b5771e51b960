/** The cluster, and the task definition of a shell: one container with the runner as PID 1. */

import { existsSync } from 'node:fs';
import { Duration, Stack } from 'aws-cdk-lib';
import { Repository } from 'aws-cdk-lib/aws-ecr';
import { Platform } from 'aws-cdk-lib/aws-ecr-assets';
import {
  AwsLogDriver,
  CfnCluster,
  type CfnTaskDefinition,
  Compatibility,
  ContainerImage,
  CpuArchitecture,
  FargateTaskDefinition,
  NetworkMode,
  OperatingSystemFamily,
  TaskDefinition,
} from 'aws-cdk-lib/aws-ecs';
import { Effect, PolicyDocument, PolicyStatement, Role, ServicePrincipal, type IRole } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { logGroup } from './logs.ts';
import { suppress } from './rules.ts';
import type { Settings } from './settings.ts';

export interface ShellTask {
  readonly definition: TaskDefinition;
  readonly family: string;
  readonly container: string;
  /** Absent where no task has ECS Exec: then nothing in a task has credentials. */
  readonly taskRole: IRole | undefined;
  readonly executionRole: IRole;
}

const CONTAINER = 'shell';

export function addCluster(scope: Construct, settings: Settings): CfnCluster {
  // A cluster for each capacity: when a deployment returns to Fargate, CloudFormation removes the association of the
  // instances at last, and with it whatever providers their cluster has by then.
  const cluster = new CfnCluster(scope, settings.instances ? 'InstanceCluster' : 'Cluster', {
    ...(!settings.instances && { capacityProviders: ['FARGATE', 'FARGATE_SPOT'] }),
    // By default ECS Exec writes commands and their output to the log of the container.
    configuration: { executeCommandConfiguration: { logging: 'NONE' } },
    clusterSettings: [{ name: 'containerInsights', value: settings.containerInsights ? 'enabled' : 'disabled' }],
  });
  if (!settings.containerInsights) {
    suppress(cluster, {
      finding: 'AwsSolutions-ECS4',
      reason: 'Metrics of every task cost more than a short shell; each job records its usage. The context containerInsights turns them on.',
    });
  }
  return cluster;
}

export function addShellTask(scope: Construct, settings: Settings): ShellTask {
  const family = `${Stack.of(scope).stackName}-shell`;
  const taskRole = settings.terminals ? addTaskRole(scope) : undefined;
  const executionRole = addExecutionRole(scope);
  const definition = addDefinition(scope, settings, { family, executionRole, ...(taskRole && { taskRole }) });
  if (taskRole === undefined) removeTaskRole(definition);
  // No init process: the runner is PID 1, reaps orphaned processes and forwards SIGTERM.
  definition.addContainer(CONTAINER, {
    image: image(scope, settings),
    essential: true,
    stopTimeout: Duration.seconds(30),
    // Lets the group of shelluser run ping, because the image has no setuid binaries.
    systemControls: [{ namespace: 'net.ipv4.ping_group_range', value: '1000 1000' }],
    logging: new AwsLogDriver({ logGroup: logGroup(scope, 'ShellLogs', 'shell', settings), streamPrefix: 'task' }),
  });
  suppress(executionRole, {
    finding: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'ecr:GetAuthorizationToken supports no resources.',
  });
  return { definition, family, container: CONTAINER, taskRole, executionRole };
}

/** Without the size of a request, a task has a quarter of a core and 512 MiB. */
function addDefinition(scope: Construct, settings: Settings, common: { family: string; executionRole: IRole; taskRole?: IRole }): TaskDefinition {
  if (settings.instances) {
    return new TaskDefinition(scope, 'ShellTask', { ...common, compatibility: Compatibility.EC2, networkMode: NetworkMode.AWS_VPC, cpu: '256', memoryMiB: '512' });
  }
  return new FargateTaskDefinition(scope, 'ShellTask', {
    ...common,
    cpu: 256,
    memoryLimitMiB: 512,
    runtimePlatform: {
      operatingSystemFamily: OperatingSystemFamily.LINUX,
      cpuArchitecture: settings.architecture === 'arm64' ? CpuArchitecture.ARM64 : CpuArchitecture.X86_64,
    },
  });
}

/** The construct makes a role of its own if it gets none. */
function removeTaskRole(definition: TaskDefinition): void {
  definition.node.tryRemoveChild('TaskRole');
  (definition.node.defaultChild as CfnTaskDefinition).addPropertyDeletionOverride('TaskRoleArn');
}

function tasksPrincipal(scope: Construct) {
  const stack = Stack.of(scope);
  return new ServicePrincipal('ecs-tasks.amazonaws.com', {
    conditions: {
      StringEquals: { 'aws:SourceAccount': stack.account },
      ArnLike: { 'aws:SourceArn': stack.formatArn({ service: 'ecs', resource: '*' }) },
    },
  });
}

function addExecutionRole(scope: Construct): Role {
  return new Role(scope, 'ExecutionRole', {
    description: 'Pulls the image and writes the log of a shell; no container sees it',
    assumedBy: tasksPrincipal(scope),
  });
}

/** The permissions of the agent of ECS Exec. Every process with root in the container can use this role. */
const EXEC = [
  'ssmmessages:CreateControlChannel',
  'ssmmessages:CreateDataChannel',
  'ssmmessages:OpenControlChannel',
  'ssmmessages:OpenDataChannel',
];

function addTaskRole(scope: Construct): Role {
  const role = new Role(scope, 'TaskRole', {
    description: 'ECS Exec into a shell, and nothing else',
    assumedBy: tasksPrincipal(scope),
    inlinePolicies: {
      Exec: new PolicyDocument({
        statements: [
          new PolicyStatement({ actions: EXEC, resources: ['*'] }),
          // A policy that is attached later cannot add permissions.
          new PolicyStatement({ effect: Effect.DENY, notActions: EXEC, resources: ['*'] }),
        ],
      }),
    },
  });
  suppress(role, {
    finding: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'These four actions support no resources.',
  });
  return role;
}

/** `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG`, the only registry that needs permissions. */
const ECR = /^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com\/([^:@]+)[:@](.+)$/;

function image(scope: Construct, settings: Settings): ContainerImage {
  if (settings.shellImage === undefined) {
    return ContainerImage.fromEcrRepository(Repository.fromRepositoryName(scope, 'Images', 'ephemeral-shell'), 'latest');
  }
  if (existsSync(settings.shellImage)) {
    const platform = settings.architecture === 'arm64' ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64;
    return ContainerImage.fromAsset(settings.shellImage, { platform });
  }
  const [, account, region, name, tag] = ECR.exec(settings.shellImage) ?? [];
  if (account === undefined || region === undefined || name === undefined) {
    return ContainerImage.fromRegistry(settings.shellImage);
  }
  const repositoryArn = Stack.of(scope).formatArn({ service: 'ecr', account, region, resource: 'repository', resourceName: name });
  return ContainerImage.fromEcrRepository(
    Repository.fromRepositoryAttributes(scope, 'Images', { repositoryArn, repositoryName: name }),
    tag,
  );
}
