/**
 * What scripts/deploy and scripts/destroy read and change in the account besides the stack.
 * Usage: operate plan|prepare|console|resume|drain|destroy ARGUMENT…
 */

import { GetTemplateCommand } from '@aws-sdk/client-cloudformation';
import { ECSClient, ListAccountSettingsCommand, paginateListTasks } from '@aws-sdk/client-ecs';
import { CreateServiceLinkedRoleCommand, IAMClient } from '@aws-sdk/client-iam';
import { CONCURRENCY, countVpcs, describeQuotas, identity, message, raise, readQuotas, VPCS } from '../lib/operate/account.ts';
import { consoleOf, emptyBucket, uploadConsole } from '../lib/operate/console.ts';
import { awaitDeletion, DRAIN, drain, resumeFunctions, type DrainOptions } from '../lib/operate/drain.ts';
import { endInstances, GROUP, resumeGroups } from '../lib/operate/instances.ts';
import { describeChanges, needsNoInstances, needsNoShells, parseArguments, plan, type Arguments } from '../lib/operate/plan.ts';
import { cloudFormation, deleteStack, deployments, findStack, resourcesOf, type DeployedStack } from '../lib/operate/stack.ts';
import { readSettings, type Capacity } from '../lib/settings.ts';

const COMMANDS: Record<string, (args: Arguments, stack: string) => Promise<void>> = {
  /** Prints the arguments for the CDK, one a line; what a person should know goes to standard error. */
  async plan(args, name) {
    const { account, region } = await identity();
    console.error(`account ${account}, region ${region}, stack ${name}`);
    const client = cloudFormation();
    const found = await findStack(client, name);
    if (found === undefined && !args.given.has('stackName')) await refuseSecondDeployment(await deployments(client), name);
    if (found?.status.startsWith('DELETE_')) throw new Error(`the stack ${name} is ${found.status}. hint: run 'make destroy' again, then deploy`);
    const { context, changes } = plan(args, found && { settings: settingsOf(found) });
    const settings = readSettings((setting) => context.get(setting as never));
    for (const line of describeChanges(changes)) console.error(`changes: ${line}`);
    const fixed = found && needsNoInstances({ settings: settingsOf(found) }, changes, settings);
    if (fixed !== undefined) throw new Error(`${fixed} cannot change while the deployment has instances. hint: deploy with -c capacity=fargate first, then again with both`);
    const refused = found && needsNoShells({ settings: settingsOf(found) }, changes, settings);
    if (found !== undefined && refused !== undefined) await refuseWithTasks(found, refused);
    const concurrency = await preflight(region, settings.capacity, found === undefined);
    if (settings.instances?.isolation === 'session') await refuseTrunking();
    if (concurrency !== undefined && !context.has('accountConcurrency')) console.log(`-c\naccountConcurrency=${concurrency}`);
    for (const [setting, value] of context) console.log(`-c\n${setting}=${value}`);
    for (const other of args.others) console.log(other);
  },

  /**
   * Creates the roles that the first cluster of an account needs, and empties the bucket of a console and the groups of
   * instances that the deployment removes, because only empty ones are deleted. Prints whether the CDK was bootstrapped.
   */
  async prepare(args, name) {
    await identity();
    const client = cloudFormation();
    const found = await findStack(client, name);
    const removed = args.given.get('console') === 'true' ? undefined : consoleOf(found);
    if (removed !== undefined) console.error(`deleted ${await emptyBucket(removed.bucket)} files of the console, which this deployment removes`);
    const isEc2 = args.given.get('capacity') === 'ec2';
    if (found !== undefined && !isEc2) await endInstances(await resourcesOf(client, name), { ...options(), log: console.error });
    // The services create these roles when an account first uses them, but too late for the first cluster or group.
    for (const service of isEc2 ? ['ecs', 'autoscaling', 'spot'] : ['ecs']) await createRole(`${service}.amazonaws.com`);
    const toolkit = await findStack(client, 'CDKToolkit');
    console.log(toolkit === undefined ? 'not bootstrapped' : 'bootstrapped');
  },

  /** Writes the files of the console, in a deployment that has one. */
  async console(_, name) {
    await identity();
    const found = consoleOf(await findStack(cloudFormation(), name));
    if (found !== undefined) console.log(`wrote ${await uploadConsole(found)} files of the console: ${found.url}`);
  },

  /** Lets functions run and groups grow again after an interrupted destroy. */
  async resume(_, name) {
    await identity();
    const client = cloudFormation();
    const resources = await resourcesOf(client, name);
    const functions = resources.filter(({ type }) => type === 'AWS::Lambda::Function');
    const { TemplateBody } = await client.send(new GetTemplateCommand({ StackName: name }));
    const template = JSON.parse(TemplateBody ?? '{}') as { Resources?: Record<string, { Properties?: Record<string, unknown> }> };
    const reserved = functions.flatMap(({ logicalId, id }) => {
      const value = template.Resources?.[logicalId]?.Properties?.['ReservedConcurrentExecutions'];
      return typeof value === 'number' ? [[id, value] as const] : [];
    });
    const resumed = await resumeFunctions(functions.map(({ id }) => id), new Map(reserved));
    if (resumed > 0) console.log(`${resumed} functions run again that an interrupted destroy had stopped`);
    const sizes = resources.filter(({ type }) => type === GROUP).map(({ logicalId, id }) => {
      const { MinSize, MaxSize } = template.Resources?.[logicalId]?.Properties ?? {};
      return [id, { min: Number(MinSize), max: Number(MaxSize) }] as const;
    });
    const groups = await resumeGroups(new Map(sizes));
    if (groups > 0) console.log(`${groups} groups of instances grow again that an interrupted destroy had emptied`);
  },

  /** Ends everything that runs. */
  async drain(_, name) {
    await identity();
    await drain(await resourcesOf(cloudFormation(), name), options());
  },

  /** Ends everything that runs, and deletes the stack. */
  async destroy(_, name) {
    const { account, region } = await identity();
    console.log(`account ${account}, region ${region}, stack ${name}`);
    const client = cloudFormation();
    if ((await findStack(client, name)) === undefined) return console.log(`there is no stack ${name}`);
    const resources = await resourcesOf(client, name);
    await drain(resources, options());
    for (const { type, id } of resources) if (type === 'AWS::S3::Bucket') console.log(`deleted ${await emptyBucket(id)} objects of ${id}`);
    const kept = await deleteStack(client, name);
    for (const { type, id } of resources) if (type === 'AWS::StepFunctions::StateMachine') await awaitDeletion(id, options());
    console.log(`deleted the stack ${name}; what the CDK created in the account (CDKToolkit) stays`);
    for (const { type, id } of kept) console.log(`kept, because of deletionProtection: ${type} ${id}`);
  },
};

async function createRole(AWSServiceName: string): Promise<void> {
  await new IAMClient({}).send(new CreateServiceLinkedRoleCommand({ AWSServiceName })).catch((error: unknown) => {
    if (!/has been taken|already exists/.test(message(error))) console.error(`note: the service-linked role of ${AWSServiceName} was not created: ${message(error)}`);
  });
}

/** Tests shorten the waits. */
function options(): DrainOptions {
  const quiet = process.env['EPHEMERAL_DRAIN_SECONDS'];
  return quiet === undefined ? DRAIN : { ...DRAIN, quietMs: Number(quiet) * 1_000, pollMs: 500 };
}

function settingsOf(stack: DeployedStack): Record<string, string> | undefined {
  const recorded = stack.outputs['Settings'];
  return recorded === undefined ? undefined : (JSON.parse(recorded) as Record<string, string>);
}

/** A deployment without its `stackName` would create a second one. */
async function refuseSecondDeployment(others: readonly string[], name: string): Promise<void> {
  if (others.length === 0) return;
  throw new Error(
    `this account has the deployment ${others.join(', ')}, but no stack ${name}. hint: give -c stackName=${others[0]} to update it, or -c stackName=${name} to create another one`,
  );
}

async function refuseWithTasks(stack: DeployedStack, setting: string): Promise<void> {
  const cluster = stack.outputs['ClusterArn'];
  for await (const { taskArns } of paginateListTasks({ client: new ECSClient({}) }, { cluster })) {
    if ((taskArns ?? []).length > 0) throw new Error(`${setting} cannot change while shells run. hint: stop all sessions (and deploy with warm=0), then deploy again`);
  }
}

/** With this setting of the account, ECS gives an instance network interfaces for several tasks. */
async function refuseTrunking(): Promise<void> {
  const { settings } = await new ECSClient({}).send(new ListAccountSettingsCommand({ name: 'awsvpcTrunking', effectiveSettings: true }));
  if (!(settings ?? []).some(({ value }) => value === 'enabled')) return;
  throw new Error(
    'the account setting awsvpcTrunking is enabled, so that an instance can have several tasks. hint: aws ecs put-account-setting-default --name awsvpcTrunking --value disabled, or -c isolation=shared',
  );
}

/** Prints the quotas. Returns the account's limit of concurrent executions of functions. */
async function preflight(region: string, capacity: Capacity, isNew: boolean): Promise<number | undefined> {
  const quotas = await readQuotas(capacity);
  for (const line of describeQuotas(quotas, region)) console.error(line);
  const limit = quotas.get(VPCS);
  const vpcs = await countVpcs().catch(() => undefined);
  const concurrency = quotas.get(CONCURRENCY);
  const known = typeof concurrency === 'number' && !Number.isNaN(concurrency) ? concurrency : undefined;
  if (!isNew || vpcs === undefined || typeof limit !== 'number' || vpcs < limit) return known;
  throw new Error(`the region has ${vpcs} of ${limit} VPCs, and the deployment creates one. hint: delete one, or run\n  ${raise({ ...VPCS, wanted: limit + 5 }, region)}`);
}

async function main([command = '', ...rest]: string[]): Promise<void> {
  const run = COMMANDS[command];
  if (run === undefined) throw new Error(`operate has no command ${command}`);
  const args = parseArguments(rest);
  await run(args, args.given.get('stackName') ?? 'ephemeral');
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`error: ${message(error)}`);
  process.exit(1);
});
