/** The stack that the account has. */

import {
  CloudFormationClient,
  DeleteStackCommand,
  paginateDescribeStackEvents,
  paginateDescribeStacks,
  paginateListStackResources,
  waitUntilStackDeleteComplete,
  type Stack,
} from '@aws-sdk/client-cloudformation';

export interface DeployedStack {
  readonly name: string;
  readonly status: string;
  readonly outputs: Readonly<Record<string, string>>;
}

export interface StackResource {
  readonly logicalId: string;
  readonly type: string;
  readonly id: string;
}

/** Outputs that together only a deployment of ephemeral has. */
const OUTPUTS = ['ApiUrl', 'StateMachineArn', 'TaskEventsQueueUrl'];

/** States of a stack that has no resources. */
const ABSENT = ['REVIEW_IN_PROGRESS', 'ROLLBACK_COMPLETE', 'DELETE_COMPLETE'];

export const cloudFormation = () => new CloudFormationClient({});

/** The stack of this name, if it has resources. */
export async function findStack(client: CloudFormationClient, name: string): Promise<DeployedStack | undefined> {
  try {
    for await (const { Stacks } of paginateDescribeStacks({ client }, { StackName: name })) {
      const [stack] = Stacks ?? [];
      if (stack !== undefined) return ABSENT.includes(stack.StackStatus ?? '') ? undefined : deployed(stack);
    }
    return undefined;
  } catch (error) {
    if (error instanceof Error && /does not exist/.test(error.message)) return undefined;
    throw error;
  }
}

/** The names of all deployments of ephemeral in the account and region. */
export async function deployments(client: CloudFormationClient): Promise<string[]> {
  const names: string[] = [];
  for await (const { Stacks } of paginateDescribeStacks({ client }, {})) {
    for (const stack of Stacks ?? []) {
      const { name, status, outputs } = deployed(stack);
      if (!ABSENT.includes(status) && OUTPUTS.every((output) => output in outputs)) names.push(name);
    }
  }
  return names;
}

export async function resourcesOf(client: CloudFormationClient, name: string): Promise<StackResource[]> {
  const found: StackResource[] = [];
  for await (const { StackResourceSummaries } of paginateListStackResources({ client }, { StackName: name })) {
    for (const { LogicalResourceId, ResourceType, PhysicalResourceId, ResourceStatus } of StackResourceSummaries ?? []) {
      if (PhysicalResourceId === undefined || ResourceStatus === 'DELETE_COMPLETE') continue;
      found.push({ logicalId: LogicalResourceId ?? '', type: ResourceType ?? '', id: PhysicalResourceId });
    }
  }
  return found;
}

/**
 * Deletes a stack and waits until it is gone. Returns the resources that deletion protection kept. Throws an error with
 * the reasons if a resource could not be deleted.
 */
export async function deleteStack(client: CloudFormationClient, name: string): Promise<StackResource[]> {
  const stack = (await findStackId(client, name)) ?? name;
  const begun = new Date();
  await client.send(new DeleteStackCommand({ StackName: name }));
  // The network interfaces of shells can take minutes to disappear.
  const done = await waitUntilStackDeleteComplete({ client, maxWaitTime: 3_600, minDelay: 2, maxDelay: 10 }, { StackName: stack }).catch(() => undefined);
  const reasons: string[] = [];
  const kept: StackResource[] = [];
  for await (const { StackEvents } of paginateDescribeStackEvents({ client }, { StackName: stack })) {
    for (const event of StackEvents ?? []) {
      if (event.Timestamp !== undefined && event.Timestamp < begun) continue;
      if (event.ResourceStatus === 'DELETE_FAILED') reasons.push(`${event.LogicalResourceId}: ${event.ResourceStatusReason}`);
      if (event.ResourceStatus !== 'DELETE_SKIPPED') continue;
      kept.push({ logicalId: event.LogicalResourceId ?? '', type: event.ResourceType ?? '', id: event.PhysicalResourceId ?? '' });
    }
  }
  if (done !== undefined) return kept;
  throw new Error(`the stack ${name} was not deleted. hint: run it again\n${reasons.join('\n')}`);
}

/** A deleted stack can be described only by its id. */
async function findStackId(client: CloudFormationClient, name: string): Promise<string | undefined> {
  for await (const { Stacks } of paginateDescribeStacks({ client }, { StackName: name })) return Stacks?.[0]?.StackId;
  return undefined;
}

function deployed(stack: Stack): DeployedStack {
  const outputs = (stack.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey ?? '', OutputValue ?? ''] as const);
  return { name: stack.StackName ?? '', status: stack.StackStatus ?? '', outputs: Object.fromEntries(outputs) };
}
