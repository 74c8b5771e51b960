/**
 * Ends everything that runs in a deployment, so that its stack can be deleted. First the functions, so that nothing
 * starts again; then the executions, because a state machine is not deleted while one of them waits; then the tasks,
 * because a cluster is not deleted while one of them runs; then the instances, if the deployment has some.
 */

import { DescribeTasksCommand, ECSClient, paginateListTasks, StopTaskCommand, type Task } from '@aws-sdk/client-ecs';
import {
  DeleteFunctionConcurrencyCommand,
  GetFunctionConcurrencyCommand,
  LambdaClient,
  PutFunctionConcurrencyCommand,
} from '@aws-sdk/client-lambda';
import { DescribeStateMachineCommand, paginateListExecutions, SFNClient, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { endInstances } from './instances.ts';
import type { StackResource } from './stack.ts';

export interface DrainOptions {
  /** No task may have been seen for this long. A function that was running when the functions were stopped may still start one. */
  readonly quietMs: number;
  readonly pollMs: number;
  readonly limitMs: number;
  readonly log: (line: string) => void;
}

/** The longest time that an invocation which is running now may take to start a task. */
export const DRAIN: DrainOptions = { quietMs: 30_000, pollMs: 3_000, limitMs: 15 * 60_000, log: console.log };

const REASON = 'the deployment is being deleted';

/** Throws an error if tasks still run after the time limit. */
export async function drain(resources: readonly StackResource[], options: DrainOptions): Promise<void> {
  const ids = (type: string) => resources.filter((resource) => resource.type === type).map(({ id }) => id);
  const functions = ids('AWS::Lambda::Function');
  await stopFunctions(functions);
  options.log(`stopped ${functions.length} functions: no request, message or schedule is handled any more`);
  const executions = await Promise.all(ids('AWS::StepFunctions::StateMachine').map(stopExecutions));
  options.log(`ended ${sum(executions)} executions`);
  const tasks = await Promise.all(ids('AWS::ECS::Cluster').map((cluster) => stopTasks(cluster, options)));
  options.log(`stopped ${sum(tasks)} tasks`);
  // An invocation that was running when the functions were stopped may have started another one.
  const late = await Promise.all(ids('AWS::StepFunctions::StateMachine').map(stopExecutions));
  if (sum(late) > 0) options.log(`ended ${sum(late)} executions that started meanwhile`);
  await endInstances(resources, options);
}

/** A function that reserves no concurrency handles nothing, whoever calls it. */
async function stopFunctions(names: readonly string[]): Promise<void> {
  const client = new LambdaClient({});
  for (const name of names) {
    await unlessMissing(client.send(new PutFunctionConcurrencyCommand({ FunctionName: name, ReservedConcurrentExecutions: 0 })));
  }
}

/**
 * Lets functions run again that an interrupted `drain` stopped. `reserved` has the concurrency that the template
 * reserves, by name. Returns how many functions were stopped.
 */
export async function resumeFunctions(names: readonly string[], reserved: ReadonlyMap<string, number>): Promise<number> {
  const client = new LambdaClient({});
  let resumed = 0;
  for (const name of names) {
    const found = await client.send(new GetFunctionConcurrencyCommand({ FunctionName: name }));
    if (found.ReservedConcurrentExecutions !== 0 || reserved.get(name) === 0) continue;
    const wanted = reserved.get(name);
    if (wanted === undefined) await client.send(new DeleteFunctionConcurrencyCommand({ FunctionName: name }));
    else await client.send(new PutFunctionConcurrencyCommand({ FunctionName: name, ReservedConcurrentExecutions: wanted }));
    resumed += 1;
  }
  return resumed;
}

async function stopExecutions(machine: string): Promise<number> {
  const client = new SFNClient({});
  const running: string[] = [];
  const list = async () => {
    for await (const { executions } of paginateListExecutions({ client }, { stateMachineArn: machine, statusFilter: 'RUNNING' })) {
      running.push(...(executions ?? []).map(({ executionArn }) => executionArn ?? ''));
    }
  };
  await unlessMissing(list());
  for (const executionArn of running) {
    await unlessMissing(client.send(new StopExecutionCommand({ executionArn, error: 'Destroyed', cause: REASON })));
  }
  return running.length;
}

/** Waits until the state machine is deleted: until then another deployment cannot use its name. */
export async function awaitDeletion(machine: string, { pollMs, limitMs }: DrainOptions): Promise<void> {
  const client = new SFNClient({});
  const until = Date.now() + limitMs;
  while (Date.now() < until) {
    const found = await unlessMissing(client.send(new DescribeStateMachineCommand({ stateMachineArn: machine })));
    if (found === undefined) return;
    await pause(pollMs);
  }
  throw new Error(`the state machine ${machine} is still being deleted. hint: wait before you deploy under the same name`);
}

async function stopTasks(cluster: string, { quietMs, pollMs, limitMs, log }: DrainOptions): Promise<number> {
  const client = new ECSClient({});
  const stopped = new Set<string>();
  const until = Date.now() + limitMs;
  let quietSince = Date.now();
  while (Date.now() - quietSince < quietMs) {
    const live = await liveTasks(client, cluster);
    if (live.length > 0) quietSince = Date.now();
    for (const { taskArn, desiredStatus } of live) {
      if (taskArn === undefined || desiredStatus === 'STOPPED') continue;
      stopped.add(taskArn);
      await unlessMissing(client.send(new StopTaskCommand({ cluster, task: taskArn, reason: REASON })));
    }
    if (live.length > 0) log(`waiting for ${live.length} tasks to stop`);
    if (Date.now() > until) throw new Error(`${live.length} tasks of ${cluster} do not stop. hint: run it again, or look at them in the console of ECS`);
    await pause(pollMs);
  }
  return stopped.size;
}

/** The tasks that have not stopped yet. ECS lists a task that is stopping among the stopped ones. */
async function liveTasks(client: ECSClient, cluster: string): Promise<Task[]> {
  const arns: string[] = [];
  for (const desiredStatus of ['RUNNING', 'STOPPED'] as const) {
    const list = async () => {
      for await (const { taskArns } of paginateListTasks({ client }, { cluster, desiredStatus })) arns.push(...(taskArns ?? []));
    };
    await unlessMissing(list());
  }
  const live: Task[] = [];
  for (let at = 0; at < arns.length; at += 100) {
    const { tasks } = await client.send(new DescribeTasksCommand({ cluster, tasks: arns.slice(at, at + 100) }));
    live.push(...(tasks ?? []).filter(({ lastStatus }) => lastStatus !== 'STOPPED' && lastStatus !== 'DELETED'));
  }
  return live;
}

/** Resolves to undefined if the resource does not exist (any more). */
async function unlessMissing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    const { name = '', message = '' } = error instanceof Error ? error : {};
    if (/NotFound|DoesNotExist|MissingException/.test(name) || /not found|does not exist/i.test(message)) return undefined;
    throw error;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
