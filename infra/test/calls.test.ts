import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { PERMISSIONS } from './permissions.ts';

const SOURCES = join(import.meta.dirname, '..', '..', 'crates', 'aws', 'src');

/** Each SDK call, as the code spells it, and the IAM actions that it needs. The emulators do not enforce IAM. */
const CALLS: Record<string, string[]> = {
  get_item: ['dynamodb:GetItem'],
  batch_get_item: ['dynamodb:BatchGetItem'],
  batch_write_item: ['dynamodb:BatchWriteItem'],
  query: ['dynamodb:Query'],
  scan: ['dynamodb:Scan'],
  put_item: ['dynamodb:PutItem'],
  update_item: ['dynamodb:UpdateItem'],
  delete_item: ['dynamodb:DeleteItem'],
  transact_get_items: ['dynamodb:GetItem'],
  transact_write_items: ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:ConditionCheckItem'],
  send_message: ['sqs:SendMessage'],
  send_message_batch: ['sqs:SendMessage'],
  receive_message: ['sqs:ReceiveMessage'],
  delete_message: ['sqs:DeleteMessage'],
  change_message_visibility: ['sqs:ChangeMessageVisibility'],
  start_execution: ['states:StartExecution'],
  stop_execution: ['states:StopExecution'],
  describe_execution: ['states:DescribeExecution'],
  send_task_success: ['states:SendTaskSuccess'],
  send_task_failure: ['states:SendTaskFailure'],
  send_task_heartbeat: ['states:SendTaskHeartbeat'],
  put_events: ['events:PutEvents'],
  run_task: ['ecs:RunTask', 'iam:PassRole', 'ecs:TagResource'],
  stop_task: ['ecs:StopTask'],
  describe_tasks: ['ecs:DescribeTasks'],
  list_tasks: ['ecs:ListTasks'],
  // The data channel of the session is opened by a separate signed request.
  execute_command: ['ecs:ExecuteCommand', 'ssmmessages:OpenDataChannel'],
};

/** Each URL that the code signs for others, as it spells it, and the IAM action that its use needs. */
const SIGNED: Record<string, string> = {
  'presign("GET"': 's3:GetObject',
  'presign("PUT"': 's3:PutObject',
};

function sources(): string {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' });
  const own = files.filter((file) => file.endsWith('.rs') && !/(^|\/)tests(\.rs|\/)/.test(file));
  return own.map((file) => readFileSync(join(SOURCES, file), 'utf8')).join('\n');
}

describe('the code of the functions', () => {
  const text = sources();
  const calls = Object.keys(CALLS).filter((call) => text.includes(`.${call}()`));

  it('makes no call that no function is permitted, and every permission is needed', () => {
    const signed = Object.entries(SIGNED).flatMap(([call, action]) => (text.includes(call) ? [action] : []));
    const needed = new Set([...calls.flatMap((call) => CALLS[call] ?? []), ...signed]);
    // The event source grants the worker of a queue this one.
    // Lambda itself reads the stream of the table, by the role of the function.
    const readByLambda = (action: string) => /Stream|GetRecords|GetShardIterator/.test(action);
    const granted = [...Object.values(PERMISSIONS).flat().filter((action) => !readByLambda(action)), 'sqs:ChangeMessageVisibility'];
    assert.deepEqual([...new Set(granted)].sort(), [...needed].sort());
  });

  it('reads no variable that the deployment does not set', () => {
    const environment = readFileSync(join(import.meta.dirname, '..', 'lib', 'environment.ts'), 'utf8');
    const read = new Set([...text.matchAll(/"(EPHEMERAL_[A-Z_]+[A-Z])"/g)].map(([, name]) => name ?? ''));
    const unknown = [...read].filter((name) => !environment.includes(name));
    assert.deepEqual(unknown, []);
  });
});
