import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readHandlers } from '../lib/handlers.ts';
import { functionNamed, list, ofType, statements, synthesize } from './deployment.ts';
import { PERMISSIONS } from './permissions.ts';

const { resources } = synthesize({ warm: '1', tracing: 'false', transport: 'exec' });

const LOGS = ['logs:CreateLogStream', 'logs:PutLogEvents'];
const CONSUME = ['sqs:ChangeMessageVisibility', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ReceiveMessage'];

function allowed(role: string): string[] {
  const actions = statements(resources, role).flatMap(({ Effect, Action }) => (Effect === 'Allow' ? list(Action) : []));
  return [...new Set(actions)].sort();
}

describe('functions', () => {
  for (const { name, uses, trigger } of readHandlers({ bus: true, transport: 'exec' })) {
    it(`${name} has the IAM actions of its permissions and no others`, () => {
      const wanted = [...LOGS, ...uses.flatMap((use) => PERMISSIONS[use]), ...(trigger.type === 'queue' ? CONSUME : [])];
      // The event source also grants sqs:GetQueueUrl, which needs no check.
      const granted = allowed(functionNamed(resources, name).role).filter((action) => action !== 'sqs:GetQueueUrl');
      assert.deepEqual(granted, [...new Set(wanted)].sort());
    });

    it(`${name} can't send to queues that it does not use`, () => {
      const { role } = functionNamed(resources, name);
      const sends = statements(resources, role).filter(({ Action }) => list(Action).includes('sqs:SendMessage'));
      const targets = sends.flatMap(({ Resource }) => list(Resource)).map((arn) => JSON.stringify(arn));
      assert.equal(new Set(targets).size, uses.filter((use) => use.startsWith('queue:')).length);
    });
  }

  it('each has only the variables of what it uses', () => {
    const users: Record<string, string[]> = {
      EPHEMERAL_TABLE: ['store'],
      EPHEMERAL_QUEUE_CONTROL: ['queue:control'],
      EPHEMERAL_QUEUE_EXEC: ['queue:exec'],
      EPHEMERAL_QUEUE_TASK_EVENTS: ['queue:task-events'],
      EPHEMERAL_QUEUE_WEBHOOKS: ['queue:webhooks'],
      EPHEMERAL_STATE_MACHINE: ['workflow:start'],
      EPHEMERAL_CLUSTER: ['compute:run', 'compute:stop', 'compute:read', 'shell'],
      EPHEMERAL_TASK_DEFINITION: ['compute:run'],
      EPHEMERAL_SUBNETS: ['compute:run'],
      EPHEMERAL_BUS: ['publish'],
      EPHEMERAL_FILES_BUCKET: ['transfers'],
      EPHEMERAL_FILES_URL: ['transfers'],
    };
    for (const { name, uses } of readHandlers({ bus: true, transport: 'exec' })) {
      const variables = functionNamed(resources, name).fn.Properties['Environment'].Variables;
      for (const [variable, permissions] of Object.entries(users)) {
        assert.equal(variable in variables, uses.some((use) => permissions.includes(use)), `${variable} of ${name}`);
      }
    }
  });

  it('the API can neither start, stop nor enter a task, nor start or resume an execution', () => {
    const actions = allowed(functionNamed(resources, 'api').role);
    assert.deepEqual(actions.filter((action) => /^(ecs|iam|states|ssmmessages|ssm):/.test(action)), []);
  });

  it('only the table and its indexes can be read and written', () => {
    for (const { name } of readHandlers({ bus: true, transport: 'exec' })) {
      const { role } = functionNamed(resources, name);
      for (const { Action, Resource } of statements(resources, role)) {
        if (!list(Action).some((action) => action.startsWith('dynamodb:'))) continue;
        const arns = list(Resource).map((arn) => JSON.stringify(arn));
        assert.ok(arns.every((arn) => arn.includes('TableCD117FA1') && !arn.includes('*')), arns.join());
      }
    }
  });

  it('all actions on tasks are limited to this cluster', () => {
    for (const [role] of ofType(resources, 'AWS::IAM::Role')) {
      for (const statement of statements(resources, role)) {
        const ecs = list(statement.Action).filter((action) => action.startsWith('ecs:'));
        if (ecs.length === 0) continue;
        const cluster = JSON.stringify({ 'Fn::GetAtt': ['Cluster', 'Arn'] });
        const named = JSON.stringify(statement.Resource).includes('{"Ref":"Cluster"}');
        const conditioned = JSON.stringify(statement.Condition).includes(cluster);
        assert.ok(named || conditioned, `${role}: ${ecs}`);
      }
    }
  });

  it('may pass only the two roles of a task, and only to ECS', () => {
    for (const { name } of readHandlers({ bus: true, transport: 'exec' })) {
      const { role } = functionNamed(resources, name);
      for (const { Action, Resource, Condition } of statements(resources, role)) {
        if (!list(Action).includes('iam:PassRole')) continue;
        assert.equal(list(Resource).length, 2);
        assert.deepEqual(Condition, { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } });
      }
    }
  });

  it('none is in a VPC, in which webhooks could reach private addresses', () => {
    for (const [, { Properties }] of ofType(resources, 'AWS::Lambda::Function')) assert.equal(Properties['VpcConfig'], undefined);
  });

  it('no managed policy is attached to any role', () => {
    for (const [role, { Properties }] of ofType(resources, 'AWS::IAM::Role')) {
      assert.equal(Properties['ManagedPolicyArns'], undefined, role);
    }
  });
});

describe('the role of a shell', () => {
  const definition = ofType(resources, 'AWS::ECS::TaskDefinition')[0]?.[1];
  const role = definition?.Properties['TaskRoleArn']['Fn::GetAtt'][0];
  const exec = ['CreateControlChannel', 'CreateDataChannel', 'OpenControlChannel', 'OpenDataChannel'];
  const actions = exec.map((action) => `ssmmessages:${action}`);

  it('allows the four actions of ECS Exec and denies all others', () => {
    assert.deepEqual(statements(resources, role), [
      { Effect: 'Allow', Action: actions, Resource: '*' },
      { Effect: 'Deny', NotAction: actions, Resource: '*' },
    ]);
  });

  it('can be assumed only by tasks of this account', () => {
    const trust = resources[role]?.Properties['AssumeRolePolicyDocument'].Statement;
    assert.equal(trust.length, 1);
    assert.deepEqual(trust[0].Principal, { Service: 'ecs-tasks.amazonaws.com' });
    assert.deepEqual(trust[0].Condition.StringEquals, { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } });
  });

  it('is not the role that pulls images and writes logs', () => {
    assert.notDeepEqual(definition?.Properties['TaskRoleArn'], definition?.Properties['ExecutionRoleArn']);
  });

  it('belongs to a container without variables, volumes, ports or privileges', () => {
    const [container, ...others] = definition?.Properties['ContainerDefinitions'];
    assert.deepEqual(others, []);
    assert.equal(container.Name, 'shell');
    for (const name of ['Environment', 'Secrets', 'MountPoints', 'PortMappings', 'Privileged']) {
      assert.ok(list(container[name]).length === 0, name);
    }
    assert.equal(container.LinuxParameters, undefined);
  });
});

describe('ECS Exec', () => {
  it('writes commands and output to no log', () => {
    const [[, cluster] = []] = ofType(resources, 'AWS::ECS::Cluster');
    assert.deepEqual(cluster?.Properties['Configuration'], { ExecuteCommandConfiguration: { Logging: 'NONE' } });
  });
});

describe('networks', () => {
  for (const network of ['public', 'private', 'nat']) {
    const { resources } = synthesize({ network });
    const groups = ofType(resources, 'AWS::EC2::SecurityGroup');

    it(`${network}: nothing comes in from outside`, () => {
      const ingress = [
        ...groups.flatMap(([, { Properties }]) => list(Properties['SecurityGroupIngress'])),
        ...ofType(resources, 'AWS::EC2::SecurityGroupIngress').map(([, { Properties }]) => Properties),
      ];
      // Only the endpoints accept connections: https from shells.
      for (const rule of ingress) {
        assert.equal(rule.CidrIp ?? rule.CidrIpv6, undefined);
        assert.ok(rule.SourceSecurityGroupId);
      }
      assert.equal(ingress.length, network === 'private' ? 1 : 0);
    });

    it(`${network}: the functions have the security group of each available network, and no other`, () => {
      const variables = functionNamed(resources, 'api').fn.Properties['Environment'].Variables;
      assert.equal('EPHEMERAL_SECURITY_GROUP_EGRESS' in variables, network !== 'private');
      assert.equal('EPHEMERAL_SECURITY_GROUP_NONE' in variables, network === 'private');
    });

    it(`${network}: there is a route out exactly where the network has one`, () => {
      const count = (type: string) => ofType(resources, type).length;
      assert.equal(count('AWS::EC2::NatGateway'), network === 'nat' ? 1 : 0);
      assert.equal(count('AWS::EC2::InternetGateway'), network === 'private' ? 0 : 1);
      assert.equal(count('AWS::EC2::VPCEndpoint'), network === 'private' ? 5 : 0);
    });
  }

  it('shells reach the configured ports outside, by default those of the web and of DNS', () => {
    const egress = (context: Record<string, string>) => {
      const [[, group] = []] = ofType(synthesize(context).resources, 'AWS::EC2::SecurityGroup');
      return list(group?.Properties['SecurityGroupEgress']).map((rule) => `${rule.IpProtocol} ${rule.FromPort ?? ''}`);
    };
    assert.deepEqual(egress({}), ['tcp 53', 'udp 53', 'tcp 80', 'tcp 443', 'udp 443']);
    assert.deepEqual(egress({ egressPorts: '443, 22', network: 'nat' }), ['tcp 22', 'tcp 443', 'udp 443']);
    assert.deepEqual(egress({ egressPorts: 'all' }), ['-1 ']);
  });

  it('endpoints serve only this account, and the one for S3 only image layers and the files of this deployment', () => {
    const { resources } = synthesize({ network: 'private' });
    const [[bucket]] = ofType(resources, 'AWS::S3::Bucket') as [[string, unknown]];
    for (const [, { Properties }] of ofType(resources, 'AWS::EC2::VPCEndpoint')) {
      for (const statement of Properties['PolicyDocument'].Statement) {
        const own = statement.Condition?.StringEquals?.['aws:PrincipalAccount']?.Ref === 'AWS::AccountId';
        const layers = statement.Action === 's3:GetObject' && JSON.stringify(statement.Resource).includes('-starport-layer-bucket/*');
        const arn = { 'Fn::Join': ['', [{ 'Fn::GetAtt': [bucket, 'Arn'] }, '/files/*']] };
        const files = JSON.stringify(statement.Resource) === JSON.stringify(arn);
        assert.ok(own || layers || files);
      }
    }
  });
});

describe('data', () => {
  it('files go through one bucket, private, encrypted, for a day, with TLS and for signatures of 15 minutes', () => {
    const [[id, { Properties: bucket, DeletionPolicy }]] = ofType(resources, 'AWS::S3::Bucket') as any;
    const blocked = { BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true };
    assert.deepEqual(bucket['PublicAccessBlockConfiguration'], blocked);
    assert.equal(bucket['BucketEncryption'].ServerSideEncryptionConfiguration.length, 1);
    assert.equal(bucket['CorsConfiguration'], undefined);
    assert.equal(bucket['LifecycleConfiguration'].Rules[0].ExpirationInDays, 1);
    assert.equal(DeletionPolicy, 'Delete');
    const [[, { Properties: policy }]] = ofType(resources, 'AWS::S3::BucketPolicy') as any;
    const conditions = policy['PolicyDocument'].Statement.map(({ Effect, Condition }: any) => [Effect, Condition]);
    assert.deepEqual(conditions, [
      ['Deny', { Bool: { 'aws:SecureTransport': 'false' } }],
      ['Deny', { NumericGreaterThan: { 's3:signatureAge': 900000 } }],
    ]);
    for (const { name } of readHandlers({ bus: true, transport: 'exec' })) {
      for (const { Action, Resource } of statements(resources, functionNamed(resources, name).role)) {
        if (!list(Action).some((action) => action.startsWith('s3:'))) continue;
        assert.deepEqual(Resource, { 'Fn::Join': ['', [{ 'Fn::GetAtt': [id, 'Arn'] }, '/files/*']] });
      }
    }
  });

  it('every queue is encrypted and refuses requests without TLS', () => {
    const policies = ofType(resources, 'AWS::SQS::QueuePolicy').map(([, { Properties }]) => Properties);
    for (const [id, { Properties }] of ofType(resources, 'AWS::SQS::Queue')) {
      assert.equal(Properties['SqsManagedSseEnabled'], true, id);
      const own = policies.filter(({ Queues }) => Queues.some(({ Ref }: { Ref: string }) => Ref === id));
      const denies = own.flatMap(({ PolicyDocument }) => PolicyDocument.Statement).filter(({ Effect }) => Effect === 'Deny');
      assert.deepEqual(denies[0]?.Condition, { Bool: { 'aws:SecureTransport': 'false' } }, id);
      assert.deepEqual(denies[0]?.Principal, { AWS: '*' }, id);
    }
  });

  it('dead letters are kept for two weeks', () => {
    const queues = ofType(resources, 'AWS::SQS::Queue').map(([, { Properties }]) => Properties);
    const lanes = queues.filter(({ RedrivePolicy }) => RedrivePolicy !== undefined);
    assert.equal(lanes.length, 4);
    for (const { MessageRetentionPeriod, RedrivePolicy } of queues) {
      if (RedrivePolicy === undefined) assert.equal(MessageRetentionPeriod, 14 * 24 * 3600);
      else assert.equal(RedrivePolicy.maxReceiveCount, 5);
    }
  });

  it('the log of executions has what failed and no data', () => {
    const { LoggingConfiguration } = ofType(resources, 'AWS::StepFunctions::StateMachine')[0]?.[1].Properties ?? {};
    assert.equal(LoggingConfiguration.Level, 'ERROR');
    assert.equal(LoggingConfiguration.IncludeExecutionData, false);
  });

  it('the access log has no token, address or query', () => {
    const { AccessLogSettings } = ofType(resources, 'AWS::ApiGatewayV2::Stage')[0]?.[1].Properties ?? {};
    assert.doesNotMatch(AccessLogSettings.Format, /authorization|claims|sourceIp|querystring|\$context\.path/i);
  });

  for (const [retentionDays, recoveryPeriod] of [[7, 7], [30, 30], [365, 35]] as const) {
    it(`deleted records leave the backups after ${recoveryPeriod} days if retentionDays is ${retentionDays}`, () => {
      const { resources } = synthesize({ retentionDays: String(retentionDays) });
      const [[, table] = []] = ofType(resources, 'AWS::DynamoDB::Table');
      const specification = { PointInTimeRecoveryEnabled: true, RecoveryPeriodInDays: recoveryPeriod };
      assert.deepEqual(table?.Properties['PointInTimeRecoverySpecification'], specification);
    });
  }

  it('every log has a retention', () => {
    for (const [id, { Properties }] of ofType(resources, 'AWS::Logs::LogGroup')) assert.equal(Properties['RetentionInDays'], 14, id);
  });
});

describe('the API', () => {
  it('requires a token for every route but its own description', () => {
    const open = ofType(resources, 'AWS::ApiGatewayV2::Route')
      .map(([, { Properties }]) => Properties)
      .filter(({ AuthorizationType }) => AuthorizationType !== 'JWT')
      .map(({ RouteKey }) => RouteKey);
    assert.deepEqual(open, ['GET /openapi.json']);
  });

  it('accepts tokens of a given issuer, and then creates no user pool', () => {
    const { resources } = synthesize({ jwtIssuer: 'https://issuer.example', jwtAudience: 'one, two', transport: 'exec' });
    const { JwtConfiguration } = ofType(resources, 'AWS::ApiGatewayV2::Authorizer')[0]?.[1].Properties ?? {};
    assert.deepEqual(JwtConfiguration, { Issuer: 'https://issuer.example', Audience: ['one', 'two'] });
    assert.deepEqual(ofType(resources, 'AWS::Cognito::UserPool'), []);
  });

  it('demands a scope where one is configured', () => {
    const { resources } = synthesize({ jwtScope: 'ephemeral/use', transport: 'exec' });
    const routes = ofType(resources, 'AWS::ApiGatewayV2::Route').map(([, { Properties }]) => Properties);
    const [proxy] = routes.filter(({ RouteKey }) => RouteKey !== 'GET /openapi.json');
    assert.deepEqual(proxy?.['AuthorizationScopes'], ['ephemeral/use']);
  });

  it('lets only administrators create users', () => {
    const { AdminCreateUserConfig } = ofType(resources, 'AWS::Cognito::UserPool')[0]?.[1].Properties ?? {};
    assert.deepEqual(AdminCreateUserConfig, { AllowAdminCreateUserOnly: true });
  });
});
