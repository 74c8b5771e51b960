import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { functionNamed, list, ofType, statements, synthesize, type Resource } from './deployment.ts';

const NAT = { capacity: 'ec2', network: 'nat' };
const { resources } = synthesize(NAT);

function only(type: string, all: Record<string, Resource> = resources): Resource['Properties'] {
  const [[, first] = [], ...others] = ofType(all, type);
  assert.deepEqual([first === undefined, others], [false, []], type);
  return first?.Properties ?? {};
}

function properties(type: string, all: Record<string, Resource> = resources): Resource['Properties'][] {
  return ofType(all, type).map(([, { Properties }]) => Properties);
}

function userData(): string {
  const [template] = properties('AWS::EC2::LaunchTemplate');
  const [, parts] = template?.['LaunchTemplateData'].UserData['Fn::Base64']['Fn::Join'];
  return (parts as unknown[]).map((part) => (typeof part === 'string' ? part : 'CLUSTER')).join('');
}

describe('instances in place of Fargate', () => {
  it('are two groups of none to ten, on demand and Spot, whose number ECS decides', () => {
    const groups = properties('AWS::AutoScaling::AutoScalingGroup');
    assert.deepEqual(groups.map(({ MinSize, MaxSize, DesiredCapacity }) => [MinSize, MaxSize, DesiredCapacity]), [['0', '10', undefined], ['0', '10', undefined]]);
    const spot = properties('AWS::EC2::LaunchTemplate').map(({ LaunchTemplateData }) => LaunchTemplateData.InstanceMarketOptions?.MarketType);
    assert.deepEqual(spot, [undefined, 'spot']);
    for (const { AutoScalingGroupProvider: provider } of properties('AWS::ECS::CapacityProvider')) {
      assert.deepEqual([provider.ManagedScaling.Status, provider.ManagedScaling.TargetCapacity], ['ENABLED', 100]);
    }
  });

  it('have the wanted numbers and type', () => {
    const { resources } = synthesize({ ...NAT, minInstances: '2', maxInstances: '30', instanceType: 'c7g.xlarge', isolation: 'shared' });
    const sizes = properties('AWS::AutoScaling::AutoScalingGroup', resources).map(({ MinSize, MaxSize }) => [MinSize, MaxSize]);
    assert.deepEqual(sizes, [['2', '30'], ['0', '30']], 'Spot instances run only for shells');
    for (const { LaunchTemplateData } of properties('AWS::EC2::LaunchTemplate', resources)) assert.equal(LaunchTemplateData.InstanceType, 'c7g.xlarge');
  });

  it('drain before they end, and no protection stops CloudFormation from deleting their group', () => {
    for (const { AutoScalingGroupProvider: provider } of properties('AWS::ECS::CapacityProvider')) {
      assert.deepEqual([provider.ManagedDraining, provider.ManagedTerminationProtection], ['ENABLED', 'DISABLED']);
    }
    for (const group of properties('AWS::AutoScaling::AutoScalingGroup')) assert.equal(group['NewInstancesProtectedFromScaleIn'], undefined);
  });

  it('start with the newest patches, and are replaced after a week', () => {
    for (const { LaunchTemplateData } of properties('AWS::EC2::LaunchTemplate')) {
      assert.equal(LaunchTemplateData.ImageId, 'resolve:ssm:/aws/service/bottlerocket/aws-ecs-2/arm64/latest/image_id');
    }
    for (const group of properties('AWS::AutoScaling::AutoScalingGroup')) assert.equal(group['MaxInstanceLifetime'], 7 * 86_400);
  });

  it('keep their metadata from tasks, run nothing privileged, and let nobody sign in', () => {
    for (const { LaunchTemplateData } of properties('AWS::EC2::LaunchTemplate')) {
      assert.deepEqual([LaunchTemplateData.MetadataOptions.HttpTokens, LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit], ['required', 1]);
      assert.equal(LaunchTemplateData.KeyName, undefined);
      for (const { Ebs } of LaunchTemplateData.BlockDeviceMappings) assert.deepEqual([Ebs.Encrypted, Ebs.DeleteOnTermination], [true, true]);
    }
    const lines = userData().split('\n');
    for (const line of ['cluster = "CLUSTER"', 'awsvpc-block-imds = true', 'allow-privileged-containers = false', 'image-pull-behavior = "prefer-cached"']) {
      assert.ok(lines.includes(line), line);
    }
    for (const container of ['admin', 'control']) assert.match(userData(), new RegExp(`\\[settings\\.host-containers\\.${container}\\]\\nenabled = false`));
  });

  it('have a role with the actions of the agent on this cluster, and no others', () => {
    const [profile] = properties('AWS::IAM::InstanceProfile');
    const role = profile?.['Roles'][0].Ref as string;
    assert.equal(resources[role]?.Properties['ManagedPolicyArns'], undefined);
    const cluster = { 'Fn::GetAtt': ['InstanceCluster', 'Arn'] };
    const [submit, poll, discover, ...others] = statements(resources, role);
    assert.deepEqual(others, []);
    assert.deepEqual(submit?.Resource, cluster);
    assert.deepEqual(poll?.Condition, { ArnEquals: { 'ecs:cluster': cluster } });
    assert.match(JSON.stringify(poll?.Resource), /:container-instance\/",\{"Ref":"InstanceCluster"\},"\/\*"/);
    assert.deepEqual([discover?.Action, discover?.Resource], ['ecs:DiscoverPollEndpoint', '*']);
    const actions = [submit, poll].flatMap((statement) => list(statement?.Action));
    assert.equal(actions.length, 8);
    for (const action of actions) assert.match(action, /^ecs:[A-Za-z]+$/);
  });

  for (const [network, endpoints] of [['nat', 0], ['private', 8]] as const) {
    it(`accept no connection in ${network}, and reach https only`, () => {
      const { resources } = synthesize({ capacity: 'ec2', network });
      const [id, group] = ofType(resources, 'AWS::EC2::SecurityGroup').find(([, { Properties }]) => /^Instances/.test(Properties['GroupDescription'])) ?? [];
      assert.deepEqual(list(group?.Properties['SecurityGroupEgress']).map(({ IpProtocol, FromPort, ToPort }) => [IpProtocol, FromPort, ToPort]), [['tcp', 443, 443]]);
      assert.equal(group?.Properties['SecurityGroupIngress'], undefined);
      const ingress = properties('AWS::EC2::SecurityGroupIngress', resources);
      assert.ok(ingress.every(({ GroupId }) => !JSON.stringify(GroupId).includes(id ?? '')));
      assert.equal(ofType(resources, 'AWS::EC2::VPCEndpoint').length, endpoints);
    });
  }

  it('run tasks as Fargate does: one container without privileges, and no role unless there are terminals', () => {
    const task = only('AWS::ECS::TaskDefinition');
    assert.deepEqual([task['RequiresCompatibilities'], task['NetworkMode'], task['Cpu'], task['Memory']], [['EC2'], 'awsvpc', '256', '512']);
    for (const name of ['TaskRoleArn', 'EphemeralStorage', 'PidMode', 'IpcMode', 'Volumes', 'RuntimePlatform']) assert.equal(task[name], undefined, name);
    const fargate = only('AWS::ECS::TaskDefinition', synthesize({ network: 'nat' }).resources);
    assert.deepEqual(task['ContainerDefinitions'], fargate['ContainerDefinitions']);
  });

  it('belong to a cluster of their own, so that the way back to Fargate removes no provider of Fargate', () => {
    const [[id, cluster] = []] = ofType(resources, 'AWS::ECS::Cluster');
    assert.deepEqual([id, cluster?.Properties['CapacityProviders']], ['InstanceCluster', undefined]);
    const { Cluster, CapacityProviders } = only('AWS::ECS::ClusterCapacityProviderAssociations');
    assert.deepEqual([Cluster, CapacityProviders], [{ Ref: id }, [{ Ref: 'OnDemandCapacity' }, { Ref: 'SpotCapacity' }]]);
  });

  it('are named to the functions that run tasks, and to no others', () => {
    const { fn } = functionNamed(resources, 'provision-task');
    const variables = fn.Properties['Environment'].Variables;
    assert.deepEqual(variables['EPHEMERAL_CAPACITY_PROVIDER'], { Ref: 'OnDemandCapacity' });
    assert.deepEqual(variables['EPHEMERAL_CAPACITY_PROVIDER_SPOT'], { Ref: 'SpotCapacity' });
    assert.deepEqual([variables['EPHEMERAL_CAPACITY'], variables['EPHEMERAL_ISOLATION'], variables['EPHEMERAL_ASSIGN_PUBLIC_IP']], ['ec2', 'session', 'false']);
    assert.deepEqual([variables['EPHEMERAL_MAX_CPU'], variables['EPHEMERAL_MAX_MEMORY_MIB']], ['1024', '3072'], 'what fits on an instance');
    const api = functionNamed(resources, 'api').fn.Properties['Environment'].Variables;
    assert.deepEqual([api['EPHEMERAL_CAPACITY'], api['EPHEMERAL_CAPACITY_PROVIDER']], ['ec2', undefined]);
  });

  it('are waited for as long as the setting says', () => {
    const waits = (context: Record<string, string>) => functionNamed(synthesize(context).resources, 'sweep').fn.Properties['Environment'].Variables['EPHEMERAL_PLACED_WITHIN_SECONDS'];
    assert.deepEqual([waits(NAT), waits({ ...NAT, placedWithinSeconds: '60' })], [undefined, '60']);
  });

  it('raise an alarm while no instance comes for tasks that wait', () => {
    const alarms = properties('AWS::CloudWatch::Alarm').filter(({ Namespace }) => Namespace === 'AWS/ECS/ManagedScaling');
    assert.deepEqual(alarms.map(({ AlarmName }) => AlarmName), ['ephemeral-instances-full', 'ephemeral-spot-instances-full']);
    for (const { Threshold, DatapointsToAlarm, MetricName } of alarms) assert.deepEqual([Threshold, DatapointsToAlarm, MetricName], [101, 3, 'CapacityProviderReservation']);
  });

  it('are absent by default', () => {
    const types = Object.values(synthesize({ network: 'nat' }).resources).map(({ Type }) => Type);
    assert.deepEqual(types.filter((type) => /AutoScaling|LaunchTemplate|CapacityProvider|InstanceProfile/.test(type)), []);
  });
});
