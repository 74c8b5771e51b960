/** The VPC of the shells. Functions run outside of it, so that webhooks cannot reach private addresses in it. */

import { Stack } from 'aws-cdk-lib';
import {
  FlowLogDestination,
  FlowLogTrafficType,
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpointAwsService,
  IpAddresses,
  Peer,
  Port,
  SecurityGroup,
  SubnetType,
  Vpc,
  type ISubnet,
} from 'aws-cdk-lib/aws-ec2';
import { AnyPrincipal, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Bucket } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { FILES } from './files.ts';
import { logGroup } from './logs.ts';
import { suppress } from './rules.ts';
import type { Settings } from './settings.ts';

export interface Network {
  readonly vpc: Vpc;
  readonly subnets: readonly ISubnet[];
  /** The group of shells that may reach the internet; absent where the VPC has no route to it. */
  readonly egress: SecurityGroup | undefined;
  /** The group of shells without network; absent where ECS Exec itself needs the route to the internet. */
  readonly none: SecurityGroup | undefined;
  /** The group of the instances that run shells; absent on Fargate. */
  readonly hosts: SecurityGroup | undefined;
  readonly assignPublicIp: boolean;
}

/** The ports whose protocols use UDP too. */
const DNS = 53;
const QUIC = 443;

const SUBNETS = {
  public: SubnetType.PUBLIC,
  private: SubnetType.PRIVATE_ISOLATED,
  nat: SubnetType.PRIVATE_WITH_EGRESS,
} as const;

export function addNetwork(scope: Construct, files: Bucket, settings: Settings): Network {
  const type = SUBNETS[settings.network];
  const vpc = new Vpc(scope, 'Vpc', {
    ipAddresses: IpAddresses.cidr('10.64.0.0/16'),
    maxAzs: 2,
    natGateways: settings.network === 'nat' ? 1 : 0,
    subnetConfiguration: [
      // RunTask requests the public address.
      { name: 'shells', subnetType: type, cidrMask: 18, ...(type === SubnetType.PUBLIC && { mapPublicIpOnLaunch: false }) },
      ...(settings.network === 'nat'
        ? [{ name: 'nat', subnetType: SubnetType.PUBLIC, cidrMask: 28, mapPublicIpOnLaunch: false }]
        : []),
    ],
    // Restricting the default group would need a custom resource; nothing uses that group.
    restrictDefaultSecurityGroup: false,
  });
  if (settings.flowLogs) addFlowLog(vpc, settings);
  else suppress(vpc, { finding: 'AwsSolutions-VPC7', reason: 'A port scan in one shell writes gigabytes per hour; the context flowLogs turns them on.' });

  const group = (id: string, description: string, allowAllOutbound: boolean) =>
    new SecurityGroup(scope, id, { vpc, description, allowAllOutbound });
  const subnets = vpc.selectSubnets({ subnetGroupName: 'shells' }).subnets;
  const hosts = settings.instances && group('HostGroup', 'Instances of shells: https out, nothing in', false);
  hosts?.addEgressRule(Peer.anyIpv4(), Port.tcp(443), 'https to ECS, ECR and the logs');
  if (settings.network !== 'private') {
    const egress = group('EgressGroup', 'Shells: the configured ports out, nothing in', settings.egressPorts === undefined);
    for (const port of settings.egressPorts ?? []) {
      egress.addEgressRule(Peer.anyIpv4(), Port.tcp(port), `TCP ${port}`);
      if (port === DNS || port === QUIC) egress.addEgressRule(Peer.anyIpv4(), Port.udp(port), `UDP ${port}`);
    }
    return { vpc, subnets, egress, none: undefined, hosts, assignPublicIp: settings.network === 'public' };
  }
  const none = group('NoneGroup', 'Shells: only the endpoints, nothing in', false);
  addEndpoints(scope, vpc, files, none, hosts);
  return { vpc, subnets, egress: undefined, none, hosts, assignPublicIp: false };
}

function addFlowLog(vpc: Vpc, settings: Settings) {
  vpc.addFlowLog('FlowLog', {
    destination: FlowLogDestination.toCloudWatchLogs(logGroup(vpc, 'FlowLogGroup', 'flow', settings)),
    trafficType: FlowLogTrafficType.ALL,
  });
}

/**
 * The endpoints that a task needs to start and to serve ECS Exec. Their policies refuse principals of other
 * accounts, so that a shell cannot send data out with foreign credentials.
 */
function addEndpoints(scope: Construct, vpc: Vpc, files: Bucket, shells: SecurityGroup, hosts: SecurityGroup | undefined) {
  const stack = Stack.of(scope);
  const group = new SecurityGroup(scope, 'EndpointGroup', {
    vpc,
    description: 'Endpoints: https from shells',
    allowAllOutbound: false,
  });
  group.addIngressRule(shells, Port.tcp(443), 'https from shells');
  if (hosts) group.addIngressRule(hosts, Port.tcp(443), 'https from instances of shells');
  const services = {
    SsmMessages: InterfaceVpcEndpointAwsService.SSM_MESSAGES,
    EcrApi: InterfaceVpcEndpointAwsService.ECR,
    EcrDocker: InterfaceVpcEndpointAwsService.ECR_DOCKER,
    Logs: InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    // The agent of an instance needs these three; for Fargate, AWS's own agent does it.
    ...(hosts && {
      Ecs: InterfaceVpcEndpointAwsService.ECS,
      EcsAgent: InterfaceVpcEndpointAwsService.ECS_AGENT,
      EcsTelemetry: InterfaceVpcEndpointAwsService.ECS_TELEMETRY,
    }),
  };
  for (const [name, service] of Object.entries(services)) {
    const endpoint = vpc.addInterfaceEndpoint(name, { service, securityGroups: [group], open: false });
    endpoint.addToPolicy(
      new PolicyStatement({
        principals: [new AnyPrincipal()],
        actions: ['*'],
        resources: ['*'],
        conditions: { StringEquals: { 'aws:PrincipalAccount': stack.account } },
      }),
    );
  }
  const s3 = vpc.addGatewayEndpoint('S3', { service: GatewayVpcEndpointAwsService.S3 });
  s3.addToPolicy(
    new PolicyStatement({
      principals: [new AnyPrincipal()],
      actions: ['s3:GetObject'],
      // The bucket in which ECR keeps image layers.
      resources: [`arn:${stack.partition}:s3:::prod-${stack.region}-starport-layer-bucket/*`],
    }),
  );
  s3.addToPolicy(
    new PolicyStatement({
      principals: [new AnyPrincipal()],
      actions: ['s3:GetObject', 's3:PutObject'],
      resources: [files.arnForObjects(FILES)],
    }),
  );
  // The subnets have routes only to the endpoints, and the addresses of S3 have no security group.
  shells.addEgressRule(Peer.anyIpv4(), Port.tcp(443), 'https to the endpoints and to S3');
}
