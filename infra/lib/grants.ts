/** Maps each entry of a function's `uses` to IAM statements. No other file grants a function anything. */

import { Stack, type CfnElement } from 'aws-cdk-lib';
import { PolicyStatement, type PolicyStatementProps } from 'aws-cdk-lib/aws-iam';
import { required, streamArn } from './bus.ts';
import { FILES } from './files.ts';
import type { Suppression } from './rules.ts';
import type { Permission } from './handlers.ts';
import type { Link } from './link.ts';
import type { Resources } from './resources.ts';

export interface Grant {
  readonly statements: readonly PolicyStatement[];
  /** Why a statement does not name a single resource. */
  readonly suppressions: readonly Suppression[];
}

/** The statements for one permission. */
export function grant(permission: Permission, resources: Resources): Grant {
  switch (permission) {
    case 'store':
      return store(resources);
    case 'queue:control':
    case 'queue:exec':
    case 'queue:task-events':
    case 'queue:webhooks':
      return send(permission.slice('queue:'.length) as keyof Resources['queues'], resources);
    case 'workflow:start':
      return only({ actions: ['states:StartExecution'], resources: [resources.stateMachineArn] });
    case 'workflow:resume':
      // AWS's reference lists no resource for this action, but IAM accepts the state machine's ARN
      // (https://github.com/aws/aws-cdk/pull/8486).
      return only({ actions: ['states:SendTaskSuccess', 'states:SendTaskFailure'], resources: [resources.stateMachineArn] });
    case 'compute:run':
      return run(resources);
    case 'compute:stop':
      return tasks(['ecs:StopTask'], resources);
    case 'compute:read':
      return read(resources);
    case 'shell':
      return shell(resources);
    case 'shell:post':
      return resources.link ? post(resources.link) : { statements: [], suppressions: [] };
    case 'transfers':
      return transfers(resources);
    case 'webhooks':
      // Calls to endpoints outside of AWS need no IAM permission.
      return { statements: [], suppressions: [] };
    case 'publish':
      return only(
        { actions: ['dynamodb:DescribeStream', 'dynamodb:GetRecords', 'dynamodb:GetShardIterator', 'dynamodb:ListStreams'], resources: [streamArn(resources)] },
        { actions: ['events:PutEvents'], resources: [required(resources).eventBusArn] },
      );
  }
}

function only(...statements: PolicyStatementProps[]): Grant {
  return { statements: statements.map((props) => new PolicyStatement(props)), suppressions: [] };
}

function store({ table, indexNames }: Resources): Grant {
  return only(
    {
      actions: [
        'dynamodb:GetItem',
        'dynamodb:BatchGetItem',
        'dynamodb:Query',
        'dynamodb:BatchWriteItem',
        // The actions inside a transaction.
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

function send(lane: keyof Resources['queues'], { queues }: Resources): Grant {
  return only({ actions: ['sqs:SendMessage'], resources: [queues[lane].queue.queueArn] });
}

function transfers({ files }: Resources): Grant {
  const objects = files.arnForObjects(FILES);
  return {
    statements: [new PolicyStatement({ actions: ['s3:GetObject', 's3:PutObject'], resources: [objects] })],
    suppressions: [
      {
        finding: `AwsSolutions-IAM5[Resource::<${files.stack.getLogicalId(files.node.defaultChild as CfnElement)}.Arn>/${FILES}]`,
        reason: 'The objects of this one bucket: each transfer has one of its own.',
      },
    ],
  };
}

function inCluster({ cluster }: Resources) {
  return { ArnEquals: { 'ecs:cluster': cluster.attrArn } };
}

/** A pattern, because the ARN of a task is known only when the task runs. */
function taskArns({ cluster }: Resources): string {
  return Stack.of(cluster).formatArn({ service: 'ecs', resource: 'task', resourceName: `${cluster.ref}/*` });
}

function taskSuppression({ cluster }: Resources): Suppression {
  return {
    finding: `AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task/<${Stack.of(cluster).getLogicalId(cluster)}>/*]`,
    reason: 'The tasks of this one cluster: their ARNs are not known before they run.',
  };
}

function tasks(actions: string[], resources: Resources): Grant {
  return {
    statements: [new PolicyStatement({ actions, resources: [taskArns(resources)], conditions: inCluster(resources) })],
    suppressions: [taskSuppression(resources)],
  };
}

function run(resources: Resources): Grant {
  const { family, taskRole, executionRole } = resources.task;
  const revisions = Stack.of(resources.cluster).formatArn({
    service: 'ecs',
    resource: 'task-definition',
    resourceName: `${family}:*`,
  });
  return {
    statements: [
      new PolicyStatement({ actions: ['ecs:RunTask'], resources: [revisions], conditions: inCluster(resources) }),
      new PolicyStatement({
        actions: ['ecs:TagResource'],
        resources: [taskArns(resources)],
        conditions: { StringEquals: { 'ecs:CreateAction': 'RunTask' } },
      }),
      new PolicyStatement({
        actions: ['iam:PassRole'],
        resources: [...(taskRole ? [taskRole.roleArn] : []), executionRole.roleArn],
        conditions: { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } },
      }),
    ],
    suppressions: [
      taskSuppression(resources),
      {
        finding: `AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task-definition/${family}:*]`,
        reason: 'The revisions of this one family: during a deployment functions still use the previous revision.',
      },
    ],
  };
}

function read(resources: Resources): Grant {
  const describe = tasks(['ecs:DescribeTasks'], resources);
  return {
    statements: [
      ...describe.statements,
      new PolicyStatement({ actions: ['ecs:ListTasks'], resources: ['*'], conditions: inCluster(resources) }),
    ],
    suppressions: [
      ...describe.suppressions,
      {
        finding: 'AwsSolutions-IAM5[Resource::*]',
        reason: 'ecs:ListTasks supports only container instances as resources, and tasks that wait have none; the condition names the cluster.',
      },
    ],
  };
}

function shell(resources: Resources): Grant {
  const grants = [...(resources.link ? [post(resources.link)] : []), ...(resources.task.taskRole ? [exec(resources)] : [])];
  return { statements: grants.flatMap(({ statements }) => statements), suppressions: grants.flatMap(({ suppressions }) => suppressions) };
}

/** Frames to runners, over the connections that they have opened to this API. */
function post({ api, stage }: Link): Grant {
  const connections = Stack.of(api).formatArn({
    service: 'execute-api',
    resource: api.apiId,
    resourceName: `${stage.stageName}/POST/@connections/*`,
  });
  return {
    statements: [new PolicyStatement({ actions: ['execute-api:ManageConnections'], resources: [connections] })],
    suppressions: [
      {
        finding: `AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:execute-api:<AWS::Region>:<AWS::AccountId>:<${Stack.of(api).getLogicalId(api.node.defaultChild as CfnElement)}>/${stage.stageName}/POST/@connections/*]`,
        reason: 'The connections of this one API: their ids are not known before they are opened.',
      },
    ],
  };
}

/** ECS Exec, for commands or, where runners connect by themselves, for terminals. */
function exec(resources: Resources): Grant {
  return {
    statements: [
      new PolicyStatement({
        actions: ['ecs:ExecuteCommand'],
        resources: [resources.cluster.attrArn, taskArns(resources)],
        conditions: { StringEquals: { 'ecs:container-name': resources.task.container } },
      }),
      new PolicyStatement({ actions: ['ssmmessages:OpenDataChannel'], resources: ['*'] }),
    ],
    suppressions: [
      taskSuppression(resources),
      {
        finding: 'AwsSolutions-IAM5[Resource::*]',
        reason: 'ssmmessages:OpenDataChannel supports no resources; it needs a token that only ecs:ExecuteCommand returns.',
      },
    ],
  };
}
