import type { Permission } from '../lib/handlers.ts';

/** The IAM actions of each permission, listed independently of lib/grants.ts so that no action is added by mistake. */
export const PERMISSIONS: Record<Permission, string[]> = {
  store: [
    'dynamodb:BatchGetItem',
    'dynamodb:BatchWriteItem',
    'dynamodb:ConditionCheckItem',
    'dynamodb:DeleteItem',
    'dynamodb:GetItem',
    'dynamodb:PutItem',
    'dynamodb:Query',
    'dynamodb:UpdateItem',
  ],
  'queue:control': ['sqs:SendMessage'],
  'queue:exec': ['sqs:SendMessage'],
  'queue:task-events': ['sqs:SendMessage'],
  'queue:webhooks': ['sqs:SendMessage'],
  'workflow:start': ['states:StartExecution'],
  'workflow:resume': ['states:SendTaskSuccess', 'states:SendTaskFailure'],
  'compute:run': ['ecs:RunTask', 'ecs:TagResource', 'iam:PassRole'],
  'compute:stop': ['ecs:StopTask'],
  'compute:read': ['ecs:DescribeTasks', 'ecs:ListTasks'],
  shell: ['ecs:ExecuteCommand', 'ssmmessages:OpenDataChannel'],
  // Where runners connect by themselves; otherwise the function may do nothing to a shell.
  'shell:post': [],
  transfers: ['s3:GetObject', 's3:PutObject'],
  webhooks: [],
  publish: ['dynamodb:DescribeStream', 'dynamodb:GetRecords', 'dynamodb:GetShardIterator', 'dynamodb:ListStreams', 'events:PutEvents'],
};
