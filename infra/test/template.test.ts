import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LANES } from '../lib/handlers.ts';
import { ofType, synthesize, type Resource } from './deployment.ts';

const INFRA = join(import.meta.dirname, '..');
const SNAPSHOT = join(import.meta.dirname, 'template.snapshot.json');
const OPERATIONS = join(INFRA, '..', 'docs', 'operations.md');
const { template, resources } = synthesize();

describe('the template', () => {
  it('equals the reviewed snapshot', () => {
    const text = `${JSON.stringify(template, null, 1)}\n`;
    if (process.env['UPDATE']) writeFileSync(SNAPSHOT, text);
    const known = existsSync(SNAPSHOT) ? readFileSync(SNAPSHOT, 'utf8') : '';
    assert.ok(text === known, `the template changed: run UPDATE=1 npm test and review the difference in ${SNAPSHOT}`);
  });

  it('has no custom resource of the CDK', () => {
    const types = Object.values(resources).map(({ Type }) => Type);
    assert.deepEqual(types.filter((type) => type.startsWith('Custom::') || type === 'AWS::CloudFormation::CustomResource'), []);
  });

  it('has the outputs that clients and tests need', () => {
    assert.deepEqual(Object.keys(template['Outputs']).sort(), [
      'ApiUrl',
      'ClusterArn',
      'ControlQueueUrl',
      'EventBusArn',
      'ExecQueueUrl',
      'Settings',
      'StateMachineArn',
      'TableName',
      'TaskEventsQueueUrl',
      'UserPoolClientId',
      'UserPoolId',
      'WebhooksQueueUrl',
    ]);
  });

  it('turns off loop detection for the workers of queues, which send messages to their own queue', () => {
    for (const [id, { Properties }] of ofType(resources, 'AWS::Lambda::Function')) {
      const worker = LANES.some((lane) => lane === Properties['Handler']);
      assert.equal(Properties['RecursiveLoop'], worker ? 'Allow' : undefined, id);
    }
  });

  it('does not retry a failed sweep', () => {
    const [[, { Properties }], ...others] = ofType(resources, 'AWS::Lambda::EventInvokeConfig') as [[string, Resource]];
    assert.deepEqual(others, []);
    assert.match(JSON.stringify(Properties['FunctionName']), /SweepFunction/);
    assert.equal(Properties['MaximumRetryAttempts'], 0);
  });

  it('has traces and flow logs only where they are turned on', () => {
    const found = (context: Record<string, string>) => {
      const { resources } = synthesize(context);
      const machine = ofType(resources, 'AWS::StepFunctions::StateMachine')[0]?.[1].Properties ?? {};
      const traced = ofType(resources, 'AWS::Lambda::Function').filter(([, { Properties }]) => Properties['TracingConfig'] !== undefined);
      return { executions: machine['TracingConfiguration']?.Enabled ?? false, functions: traced.length > 0, flowLogs: ofType(resources, 'AWS::EC2::FlowLog').length };
    };
    assert.deepEqual(found({}), { executions: false, functions: false, flowLogs: 0 });
    assert.deepEqual(found({ tracing: 'true', flowLogs: 'true' }), { executions: true, functions: true, flowLogs: 1 });
  });

  it('reserves concurrency for requests and the sweep only in an account that has enough', () => {
    const reserved = (context: Record<string, string>) => {
      const functions = ofType(synthesize(context).resources, 'AWS::Lambda::Function').map(([, { Properties }]) => Properties);
      const all = functions.map(({ Handler, ReservedConcurrentExecutions: reserved }) => [Handler as string, reserved as number | undefined] as const);
      return Object.fromEntries(all.filter(([, reserved]) => reserved !== undefined));
    };
    assert.deepEqual(reserved({}), {});
    assert.deepEqual(reserved({ accountConcurrency: '10' }), {});
    assert.deepEqual(reserved({ accountConcurrency: '1000' }), { api: 500, sweep: 2 });
  });

  it('lets no function write the log lines of Lambda itself', () => {
    for (const [id, { Properties }] of ofType(resources, 'AWS::Lambda::Function')) {
      const { LogFormat, SystemLogLevel, ApplicationLogLevel } = Properties['LoggingConfig'];
      assert.deepEqual([LogFormat, SystemLogLevel, ApplicationLogLevel], ['JSON', 'WARN', 'TRACE'], id);
    }
  });

  it('sends alarms and the warnings of a budget to the configured address', () => {
    const { resources } = synthesize({ alarmEmail: 'ops@example.com', budgetUsd: '100' });
    const [[topic, ] = []] = ofType(resources, 'AWS::SNS::Topic');
    for (const [, { Properties }] of ofType(resources, 'AWS::CloudWatch::Alarm')) assert.deepEqual(Properties['AlarmActions'], [{ Ref: topic }]);
    const [[, budget] = []] = ofType(resources, 'AWS::Budgets::Budget');
    assert.deepEqual(budget?.Properties['Budget'].BudgetLimit, { Amount: 100, Unit: 'USD' });
    for (const { Subscribers } of budget?.Properties['NotificationsWithSubscribers']) assert.equal(Subscribers[0].Address, 'ops@example.com');
  });

  it('passes cfn-lint', (test) => {
    const own = join(INFRA, '..', 'target', 'venv', 'bin', 'cfn-lint');
    const lint = process.env['CFN_LINT'] ?? own;
    if (!existsSync(lint)) {
      console.log('SKIPPED: no cfn-lint: run scripts/aws-tools');
      return test.skip('no cfn-lint');
    }
    const contexts: Record<string, string>[] = [{}, { network: 'private', warm: '1' }, { network: 'nat', tracing: 'true' }, { console: 'true' }, { capacity: 'ec2', network: 'private' }];
    const templates = contexts.map((context) => join(synthesize(context).app.synth().directory, 'ephemeral.template.json'));
    const { status, stdout, stderr } = spawnSync(lint, templates, { cwd: INFRA, encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
  });
});

describe('alarms', () => {
  const alarms = ofType(resources, 'AWS::CloudWatch::Alarm').map(([, { Properties }]) => Properties);

  it('exist for every queue, every function, executions, the sweep and the API', () => {
    const names = alarms.map(({ AlarmName }) => AlarmName as string);
    for (const lane of LANES) {
      assert.ok(names.includes(`ephemeral-${lane}-dead-letters`));
      assert.ok(names.includes(`ephemeral-${lane}-late`));
    }
    const functions = ofType(resources, 'AWS::Lambda::Function').map(([, { Properties }]) => Properties['Handler']);
    for (const name of functions) assert.ok(names.includes(`ephemeral-${name}-errors`), name);
    for (const name of ['handlers-failed', 'task-events-rule', 'failed-executions-rule', 'sweep-schedule-rule', 'table-throttled', 'executions-failed', 'executions-timed-out', 'executions-aborted', 'sweep-not-run', 'throttles', 'api-5xx']) {
      assert.ok(names.includes(`ephemeral-${name}`), name);
    }
  });

  it('are all explained in docs/operations.md', () => {
    const operations = readFileSync(OPERATIONS, 'utf8');
    const ofInstances = ofType(synthesize({ capacity: 'ec2', network: 'nat' }).resources, 'AWS::CloudWatch::Alarm').map(([, { Properties }]) => Properties);
    for (const { AlarmName } of [...alarms, ...ofInstances]) {
      const kind = (AlarmName as string).replace('ephemeral-', '').replace(/^.*-(dead-letters|late|errors|rule)$/, '*-$1');
      assert.ok(operations.includes(`\`${kind}\``), `docs/operations.md does not say what ${kind} means`);
    }
  });

  it('see the failures of handlers, which are no errors of their functions', () => {
    const filters = ofType(resources, 'AWS::Logs::MetricFilter').map(([, { Properties }]) => Properties);
    assert.equal(filters.length, ofType(resources, 'AWS::Lambda::Function').length);
    for (const { FilterPattern, MetricTransformations: [transformation] } of filters) {
      assert.equal(FilterPattern, '{ ($.level = "ERROR") || ($.code = "Backend") || ($.code = "BadInput") }');
      assert.deepEqual([transformation.MetricNamespace, transformation.MetricName], ['ephemeral', 'HandlerFailures']);
    }
  });

  it('fire when no sweep runs', () => {
    const sweep = alarms.find(({ AlarmName }) => AlarmName === 'ephemeral-sweep-not-run');
    assert.equal(sweep?.['TreatMissingData'], 'breaching');
    assert.equal(sweep?.['ComparisonOperator'], 'LessThanThreshold');
  });

  it('notify the configured topic', () => {
    const topic = 'arn:aws:sns:us-east-1:111122223333:alarms';
    const { resources } = synthesize({ alarmTopicArn: topic });
    for (const [, { Properties }] of ofType(resources, 'AWS::CloudWatch::Alarm')) assert.deepEqual(Properties['AlarmActions'], [topic]);
  });
});
