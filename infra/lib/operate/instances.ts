/** Ends the instances of a deployment whose shells have ended, so that CloudFormation can delete their groups at once. */

import {
  AutoScalingClient,
  CompleteLifecycleActionCommand,
  DescribeAutoScalingGroupsCommand,
  DescribeLifecycleHooksCommand,
  SetInstanceProtectionCommand,
  UpdateAutoScalingGroupCommand,
  type AutoScalingGroup,
} from '@aws-sdk/client-auto-scaling';
import { DeregisterContainerInstanceCommand, ECSClient, paginateListContainerInstances } from '@aws-sdk/client-ecs';
import type { DrainOptions } from './drain.ts';
import type { StackResource } from './stack.ts';

export const GROUP = 'AWS::AutoScaling::AutoScalingGroup';
const CLUSTER = 'AWS::ECS::Cluster';

/** The numbers of instances that a group may have, as the template says. */
export interface GroupSize {
  readonly min: number;
  readonly max: number;
}

/**
 * Lets the groups shrink to nothing, and waits until they have. An instance waits at its end for a lifecycle hook of
 * ECS, which keeps it until its tasks have stopped; they have, so the hook is completed here. Throws an error if
 * instances are left after the time limit.
 */
export async function endInstances(resources: readonly StackResource[], options: DrainOptions): Promise<void> {
  const names = resources.filter(({ type }) => type === GROUP).map(({ id }) => id);
  if (names.length === 0) return;
  const client = new AutoScalingClient({});
  const groups = await describe(client, names);
  for (const { AutoScalingGroupName } of groups) {
    await client.send(new UpdateAutoScalingGroupCommand({ AutoScalingGroupName, MinSize: 0, MaxSize: 0, DesiredCapacity: 0 }));
  }
  await awaitEmpty(client, names, options);
  for (const { type, id } of resources) if (type === CLUSTER) await deregister(id);
  options.log(`ended ${groups.reduce((sum, { Instances }) => sum + (Instances ?? []).length, 0)} instances`);
}

/** Gives groups that an interrupted destroy shrank their sizes again. Returns how many there were. */
export async function resumeGroups(sizes: ReadonlyMap<string, GroupSize>): Promise<number> {
  if (sizes.size === 0) return 0;
  const client = new AutoScalingClient({});
  let resumed = 0;
  for (const { AutoScalingGroupName, MaxSize } of await describe(client, [...sizes.keys()])) {
    const size = sizes.get(AutoScalingGroupName ?? '');
    if (MaxSize !== 0 || size === undefined) continue;
    await client.send(new UpdateAutoScalingGroupCommand({ AutoScalingGroupName, MinSize: size.min, MaxSize: size.max }));
    resumed += 1;
  }
  return resumed;
}

async function awaitEmpty(client: AutoScalingClient, names: string[], { pollMs, limitMs, log }: DrainOptions): Promise<void> {
  const until = Date.now() + limitMs;
  for (;;) {
    const groups = (await describe(client, names)).filter(({ Instances }) => (Instances ?? []).length > 0);
    if (groups.length === 0) return;
    for (const group of groups) await release(client, group);
    const count = groups.reduce((sum, { Instances }) => sum + (Instances ?? []).length, 0);
    if (Date.now() > until) throw new Error(`${count} instances of ${names.join(', ')} do not end. hint: run it again, or look at them in the console of EC2`);
    log(`waiting for ${count} instances to end`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Removes what keeps instances from ending: a protection that was set by hand, and lifecycle hooks. */
async function release(client: AutoScalingClient, { AutoScalingGroupName, Instances = [] }: AutoScalingGroup): Promise<void> {
  const ids = (instances: typeof Instances) => instances.flatMap(({ InstanceId }) => InstanceId ?? []);
  const guarded = ids(Instances.filter(({ ProtectedFromScaleIn }) => ProtectedFromScaleIn));
  if (guarded.length > 0) await client.send(new SetInstanceProtectionCommand({ AutoScalingGroupName, InstanceIds: guarded, ProtectedFromScaleIn: false }));
  const waiting = ids(Instances.filter(({ LifecycleState }) => LifecycleState === 'Terminating:Wait'));
  if (waiting.length === 0) return;
  const { LifecycleHooks = [] } = await client.send(new DescribeLifecycleHooksCommand({ AutoScalingGroupName }));
  for (const { LifecycleHookName, LifecycleTransition } of LifecycleHooks) {
    if (LifecycleTransition !== 'autoscaling:EC2_INSTANCE_TERMINATING') continue;
    for (const InstanceId of waiting) {
      const action = { AutoScalingGroupName, LifecycleHookName, InstanceId, LifecycleActionResult: 'CONTINUE' };
      // ECS may have completed it meanwhile.
      await client.send(new CompleteLifecycleActionCommand(action)).catch(ignoreValidation);
    }
  }
}

function ignoreValidation(error: unknown): void {
  if (!(error instanceof Error) || error.name !== 'ValidationError') throw error;
}

/** A cluster that knows an instance is not deleted, and one whose agent was cut off stays known. */
async function deregister(cluster: string): Promise<void> {
  const client = new ECSClient({});
  for await (const { containerInstanceArns } of paginateListContainerInstances({ client }, { cluster })) {
    for (const containerInstance of containerInstanceArns ?? []) {
      await client.send(new DeregisterContainerInstanceCommand({ cluster, containerInstance, force: true }));
    }
  }
}

/** The groups that exist. */
async function describe(client: AutoScalingClient, names: string[]): Promise<AutoScalingGroup[]> {
  const { AutoScalingGroups } = await client.send(new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: names }));
  return AutoScalingGroups ?? [];
}
