import type { Use } from '../lib/handlers.ts';

/** What each word may come to, said a second time, so that no right is added by a slip. */
export const RIGHTS: Record<Use, string[]> = {
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
  'workflow:resume': ['states:SendTaskSuccess'],
  'compute:run': ['ecs:RunTask', 'ecs:TagResource', 'iam:PassRole'],
  'compute:stop': ['ecs:StopTask'],
  'compute:read': ['ecs:DescribeTasks', 'ecs:ListTasks'],
  shell: ['ecs:ExecuteCommand', 'ssmmessages:OpenDataChannel'],
  webhooks: [],
};
