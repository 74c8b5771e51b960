/** What each word of `uses` means in rights: the only place where a function gets any. */

import { Stack } from 'aws-cdk-lib';
import { PolicyStatement, type PolicyStatementProps } from 'aws-cdk-lib/aws-iam';
import type { Reason } from './rules.ts';
import type { Use } from './handlers.ts';
import type { World } from './world.ts';

export interface Grant {
  readonly statements: readonly PolicyStatement[];
  /** Why a statement can't name a single resource. */
  readonly reasons: readonly Reason[];
}

/** The rights behind one word. */
export function grant(use: Use, world: World): Grant {
  switch (use) {
    case 'store':
      return store(world);
    case 'queue:control':
    case 'queue:exec':
    case 'queue:task-events':
    case 'queue:webhooks':
      return send(use.slice('queue:'.length) as keyof World['queues'], world);
    case 'workflow:start':
      return only({ actions: ['states:StartExecution'], resources: [world.stateMachineArn] });
    case 'workflow:resume':
      // A token belongs to an execution, the right to a state machine. AWS's reference knows no resource for it;
      // who tried found this (https://github.com/aws/aws-cdk/pull/8486).
      return only({ actions: ['states:SendTaskSuccess'], resources: [world.stateMachineArn] });
    case 'compute:run':
      return run(world);
    case 'compute:stop':
      return tasks(['ecs:StopTask'], world);
    case 'compute:read':
      return read(world);
    case 'shell':
      return shell(world);
    case 'webhooks':
      // Calls to the outside need no right of AWS.
      return { statements: [], reasons: [] };
  }
}

function only(...statements: PolicyStatementProps[]): Grant {
  return { statements: statements.map((props) => new PolicyStatement(props)), reasons: [] };
}

function store({ table, indexNames }: World): Grant {
  return only(
    {
      actions: [
        'dynamodb:GetItem',
        'dynamodb:BatchGetItem',
        'dynamodb:Query',
        'dynamodb:BatchWriteItem',
        // The parts of a transaction.
        'dynamodb:PutItem',
        'dynamodb:UpdateItem',
        'dynamodb:DeleteItem',
        'dynamodb:ConditionCheckItem',
      ],
      resources: [table.tableArn],
    },
    {
      actions: ['dynamodb:Query'],
      resources: indexNames.map((name) => `${table.tableArn}/index/${name}`),
    },
  );
}

function send(lane: keyof World['queues'], { queues }: World): Grant {
  return only({ actions: ['sqs:SendMessage'], resources: [queues[lane].queue.queueArn] });
}

function inCluster({ cluster }: World) {
  return { ArnEquals: { 'ecs:cluster': cluster.attrArn } };
}

/** A task's ARN is known only once it runs. */
function taskArns({ cluster }: World): string {
  return Stack.of(cluster).formatArn({ service: 'ecs', resource: 'task', resourceName: `${cluster.ref}/*` });
}

const TASKS: Reason = {
  finding: 'AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task/<Cluster>/*]',
  reason: 'The tasks of this one cluster: their ARNs are not known before they run.',
};

function tasks(actions: string[], world: World): Grant {
  return {
    statements: [new PolicyStatement({ actions, resources: [taskArns(world)], conditions: inCluster(world) })],
    reasons: [TASKS],
  };
}

function run(world: World): Grant {
  const { family, taskRole, executionRole } = world.task;
  const revisions = Stack.of(world.cluster).formatArn({
    service: 'ecs',
    resource: 'task-definition',
    resourceName: `${family}:*`,
  });
  return {
    statements: [
      new PolicyStatement({ actions: ['ecs:RunTask'], resources: [revisions], conditions: inCluster(world) }),
      new PolicyStatement({
        actions: ['ecs:TagResource'],
        resources: [taskArns(world)],
        conditions: { StringEquals: { 'ecs:CreateAction': 'RunTask' } },
      }),
      new PolicyStatement({
        actions: ['iam:PassRole'],
        resources: [taskRole.roleArn, executionRole.roleArn],
        conditions: { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } },
      }),
    ],
    reasons: [
      TASKS,
      {
        finding: `AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task-definition/${family}:*]`,
        reason: 'The revisions of this one family: while a deployment goes on, functions name the one before.',
      },
    ],
  };
}

function read(world: World): Grant {
  const describe = tasks(['ecs:DescribeTasks'], world);
  return {
    statements: [
      ...describe.statements,
      new PolicyStatement({ actions: ['ecs:ListTasks'], resources: ['*'], conditions: inCluster(world) }),
    ],
    reasons: [
      ...describe.reasons,
      {
        finding: 'AwsSolutions-IAM5[Resource::*]',
        reason: 'ecs:ListTasks knows only container instances as resources, and Fargate has none; the condition names the cluster.',
      },
    ],
  };
}

function shell(world: World): Grant {
  return {
    statements: [
      new PolicyStatement({
        actions: ['ecs:ExecuteCommand'],
        resources: [world.cluster.attrArn, taskArns(world)],
        conditions: { StringEquals: { 'ecs:container-name': world.task.container } },
      }),
      new PolicyStatement({ actions: ['ssmmessages:OpenDataChannel'], resources: ['*'] }),
    ],
    reasons: [
      TASKS,
      {
        finding: 'AwsSolutions-IAM5[Resource::*]',
        reason: 'ssmmessages:OpenDataChannel has no resources; the session it opens is named by a token that only ecs:ExecuteCommand gives.',
      },
    ],
  };
}
