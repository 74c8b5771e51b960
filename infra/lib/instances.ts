/** EC2 instances that run shells, in place of Fargate: two groups that ECS scales, on-demand and Spot. */

import { Duration, Fn, Stack } from 'aws-cdk-lib';
import { CfnAutoScalingGroup } from 'aws-cdk-lib/aws-autoscaling';
import { CfnLaunchTemplate } from 'aws-cdk-lib/aws-ec2';
import { CfnCapacityProvider, CfnClusterCapacityProviderAssociations, type CfnCluster } from 'aws-cdk-lib/aws-ecs';
import { CfnInstanceProfile, Policy, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { RESERVED_MIB, type InstanceSettings } from './instance-settings.ts';
import type { Network } from './network.ts';
import { suppress } from './rules.ts';
import type { Settings } from './settings.ts';

export interface Instances {
  readonly onDemand: CfnCapacityProvider;
  readonly spot: CfnCapacityProvider;
  readonly settings: InstanceSettings;
}

/** The time until a new instance has registered: ECS launches no more before. */
const WARMUP = Duration.minutes(2);
/** An instance is replaced at this age, by one with the newest patches. */
const MAX_AGE = Duration.days(7);
/** GiB for images and for the files of all shells of an instance. */
const DATA_GIB = 30;
const SYSTEM_GIB = 4;

export function addInstances(scope: Construct, cluster: CfnCluster, network: Network, settings: Settings): Instances | undefined {
  const { instances } = settings;
  if (instances === undefined || network.hosts === undefined) return undefined;
  const profile = new CfnInstanceProfile(scope, 'InstanceProfile', { roles: [addRole(scope, cluster).roleName] });
  const launch = (isSpot: boolean): CfnLaunchTemplate.LaunchTemplateDataProperty => ({
    // Resolved at each launch.
    imageId: `resolve:ssm:/aws/service/bottlerocket/aws-ecs-2/${settings.architecture}/latest/image_id`,
    instanceType: instances.type,
    iamInstanceProfile: { arn: profile.attrArn },
    securityGroupIds: [network.hosts?.securityGroupId ?? ''],
    // Tasks have no way to it at all (`awsvpc-block-imds`).
    metadataOptions: { httpEndpoint: 'enabled', httpTokens: 'required', httpPutResponseHopLimit: 1, instanceMetadataTags: 'disabled' },
    blockDeviceMappings: [volume('/dev/xvda', SYSTEM_GIB), volume('/dev/xvdb', DATA_GIB)],
    ...(isSpot && { instanceMarketOptions: { marketType: 'spot' } }),
    userData: Fn.base64(userData(cluster)),
  });
  const provider = (id: string, isSpot: boolean) =>
    addProvider(scope, id, new CfnLaunchTemplate(scope, `${id}Template`, { launchTemplateData: launch(isSpot) }), network, {
      min: isSpot ? 0 : instances.min,
      max: instances.max,
    });
  const [onDemand, spot] = [provider('OnDemand', false), provider('Spot', true)];
  // Not a property of the cluster: the instances name the cluster, so that it would depend on itself.
  new CfnClusterCapacityProviderAssociations(scope, 'CapacityAssociations', {
    cluster: cluster.ref,
    capacityProviders: [onDemand.ref, spot.ref],
    defaultCapacityProviderStrategy: [],
  });
  return { onDemand, spot, settings: instances };
}

/**
 * A group that ECS scales by the tasks that wait and the instances without tasks. Managed draining alone keeps an
 * instance until its tasks have stopped, for up to 48 hours. Managed termination protection is off, because
 * CloudFormation can't delete a group whose instances are protected (https://github.com/aws/aws-cdk/issues/18179).
 */
function addProvider(scope: Construct, id: string, template: CfnLaunchTemplate, network: Network, size: Pick<InstanceSettings, 'min' | 'max'>): CfnCapacityProvider {
  const group = new CfnAutoScalingGroup(scope, `${id}Instances`, {
    minSize: String(size.min),
    maxSize: String(size.max),
    maxInstanceLifetime: MAX_AGE.toSeconds(),
    vpcZoneIdentifier: network.subnets.map(({ subnetId }) => subnetId),
    launchTemplate: { launchTemplateId: template.ref, version: template.attrLatestVersionNumber },
    tags: [
      { key: 'Name', value: `${Stack.of(scope).stackName}-shells`, propagateAtLaunch: true },
      // ECS sets it, and scales no group that has lost it.
      { key: 'AmazonECSManaged', value: '', propagateAtLaunch: true },
    ],
  });
  suppress(group, { finding: 'AwsSolutions-AS3', reason: 'Instances come and go with shells; an instance that fails ends its shells, and that is reported.' });
  return new CfnCapacityProvider(scope, `${id}Capacity`, {
    autoScalingGroupProvider: {
      autoScalingGroupArn: group.ref,
      managedDraining: 'ENABLED',
      managedTerminationProtection: 'DISABLED',
      managedScaling: { status: 'ENABLED', targetCapacity: 100, instanceWarmupPeriod: WARMUP.toSeconds() },
    },
  });
}

function volume(deviceName: string, volumeSize: number): CfnLaunchTemplate.BlockDeviceMappingProperty {
  return { deviceName, ebs: { encrypted: true, volumeType: 'gp3', volumeSize, deleteOnTermination: true } };
}

/**
 * The settings of Bottlerocket (https://bottlerocket.dev/en/os/latest/api/settings/ecs/). Neither of its two host
 * containers runs, so that nobody can sign in.
 */
function userData(cluster: CfnCluster): string {
  return [
    '[settings.ecs]',
    `cluster = "${cluster.ref}"`,
    'awsvpc-block-imds = true',
    'allow-privileged-containers = false',
    // An image is pulled once per instance. A tag that moves is not followed until the instance is replaced.
    'image-pull-behavior = "prefer-cached"',
    // Files of a stopped shell leave the disk.
    'task-cleanup-wait = "1m"',
    `reserved-memory = ${RESERVED_MIB}`,
    '[settings.host-containers.admin]',
    'enabled = false',
    '[settings.host-containers.control]',
    'enabled = false',
    '',
  ].join('\n');
}

/** The actions of the agent of ECS. AWS's managed policy for it allows more, on all clusters. */
function addRole(scope: Construct, cluster: CfnCluster): Role {
  const role = new Role(scope, 'InstanceRole', {
    description: 'Registers an instance and reports its tasks; no shell can reach it',
    assumedBy: new ServicePrincipal('ec2.amazonaws.com'),
  });
  const instances = Stack.of(scope).formatArn({ service: 'ecs', resource: 'container-instance', resourceName: `${cluster.ref}/*` });
  const policy = new Policy(scope, 'InstancePolicy', {
    roles: [role],
    statements: [
      new PolicyStatement({
        actions: ['ecs:RegisterContainerInstance', 'ecs:DeregisterContainerInstance', 'ecs:SubmitAttachmentStateChanges', 'ecs:SubmitContainerStateChange', 'ecs:SubmitTaskStateChange'],
        resources: [cluster.attrArn],
      }),
      new PolicyStatement({
        actions: ['ecs:Poll', 'ecs:StartTelemetrySession', 'ecs:UpdateContainerInstancesState'],
        resources: [instances],
        conditions: { ArnEquals: { 'ecs:cluster': cluster.attrArn } },
      }),
      new PolicyStatement({ actions: ['ecs:DiscoverPollEndpoint'], resources: ['*'] }),
    ],
  });
  const id = Stack.of(scope).getLogicalId(cluster);
  suppress(
    policy,
    { finding: 'AwsSolutions-IAM5[Resource::*]', reason: 'ecs:DiscoverPollEndpoint supports no resources.' },
    {
      finding: `AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:container-instance/<${id}>/*]`,
      reason: 'The instances of this one cluster: their ARNs are not known before they run.',
    },
  );
  return role;
}
