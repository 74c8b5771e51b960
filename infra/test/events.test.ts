import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ofType, synthesize } from './deployment.ts';

const { resources } = synthesize({ warm: '2' });
const rules = Object.fromEntries(ofType(resources, 'AWS::Events::Rule').map(([id, { Properties }]) => [id.replace(/[0-9A-F]{8}$/, ''), Properties]));

const CLUSTER = 'arn:aws:ecs:us-east-1:111122223333:cluster/ephemeral';
const MACHINE = 'arn:aws:states:us-east-1:111122223333:stateMachine:ephemeral-session';

/** The pattern as it will be once the references are filled in. */
function pattern(name: string): unknown {
  const text = JSON.stringify(rules[name]?.['EventPattern'])
    .replace('{"Fn::GetAtt":["Cluster","Arn"]}', JSON.stringify(CLUSTER))
    .replace(/\{"Fn::Join":\["",\["arn:",\{"Ref":"AWS::Partition"\},":states:".*?\]\]\}/, JSON.stringify(MACHINE));
  assert.doesNotMatch(text, /Fn::|"Ref"/);
  return JSON.parse(text);
}

/** EventBridge's rule for plain values: every field of the pattern is there and has one of the values. */
function matches(wanted: unknown, found: unknown): boolean {
  if (Array.isArray(wanted)) return wanted.includes(found);
  if (typeof found !== 'object' || found === null) return false;
  return Object.entries(wanted as object).every(([name, value]) => matches(value, (found as Record<string, unknown>)[name]));
}

function taskEvent(detail: object = {}) {
  return {
    source: 'aws.ecs',
    'detail-type': 'ECS Task State Change',
    account: '111122223333',
    detail: { clusterArn: CLUSTER, lastStatus: 'RUNNING', startedBy: 'sh_01', version: 3, ...detail },
  };
}

function executionEvent(detail: object = {}) {
  return {
    source: 'aws.states',
    'detail-type': 'Step Functions Execution Status Change',
    detail: { stateMachineArn: MACHINE, name: 'sh_01', status: 'FAILED', ...detail },
  };
}

describe('rules', () => {
  it('every change of a task of the cluster goes to the queue for task events', () => {
    for (const lastStatus of ['PROVISIONING', 'RUNNING', 'STOPPED']) {
      assert.ok(matches(pattern('TaskEvents'), taskEvent({ lastStatus })));
    }
    assert.match(JSON.stringify(rules['TaskEvents']?.['Targets']), /TaskEventsQueue/);
    assert.equal(rules['TaskEvents']?.['Targets'][0].Input, undefined);
  });

  it('tasks of other clusters and other events of ECS do not', () => {
    assert.ok(!matches(pattern('TaskEvents'), taskEvent({ clusterArn: `${CLUSTER}-other` })));
    assert.ok(!matches(pattern('TaskEvents'), { ...taskEvent(), 'detail-type': 'ECS Deployment State Change' }));
    assert.ok(!matches(pattern('TaskEvents'), { ...taskEvent(), source: 'somebody.else' }));
  });

  it('an execution that ends badly has its session closed', () => {
    for (const status of ['FAILED', 'TIMED_OUT', 'ABORTED']) {
      assert.ok(matches(pattern('FailedExecutions'), executionEvent({ status })));
    }
    const [target] = rules['FailedExecutions']?.['Targets'];
    assert.match(JSON.stringify(target.Arn), /CloseSessionFunction/);
    const [[variable, path]] = Object.entries(target.InputTransformer.InputPathsMap) as [[string, string]];
    assert.equal(path, '$.detail.name');
    assert.equal(target.InputTransformer.InputTemplate, `{"sessionId":<${variable}>}`);
  });

  it('one that runs, ends well or belongs to another machine does not', () => {
    for (const status of ['RUNNING', 'SUCCEEDED']) {
      assert.ok(!matches(pattern('FailedExecutions'), executionEvent({ status })));
    }
    assert.ok(!matches(pattern('FailedExecutions'), executionEvent({ stateMachineArn: `${MACHINE}-other` })));
  });
});

describe('schedules', () => {
  it('the sweep runs every minute', () => {
    assert.equal(rules['SweepSchedule']?.['ScheduleExpression'], 'rate(1 minute)');
    assert.match(JSON.stringify(rules['SweepSchedule']?.['Targets']), /SweepFunction/);
  });

  it('the pool is filled every minute by a message, if there is to be one', () => {
    assert.equal(rules['FillPoolSchedule']?.['ScheduleExpression'], 'rate(1 minute)');
    const [target] = rules['FillPoolSchedule']?.['Targets'];
    assert.match(JSON.stringify(target.Arn), /ControlQueue/);
    assert.deepEqual(JSON.parse(target.Input), { type: 'fillPool' });
    const without = ofType(synthesize().resources, 'AWS::Events::Rule').map(([id]) => id);
    assert.ok(!without.some((id) => id.startsWith('FillPool')));
  });
});
