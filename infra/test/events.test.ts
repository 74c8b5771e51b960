import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ofType, synthesize } from './deployment.ts';

const { resources } = synthesize({ warm: '2' });
const rules = Object.fromEntries(ofType(resources, 'AWS::Events::Rule').map(([id, { Properties }]) => [id.replace(/[0-9A-F]{8}$/, ''), Properties]));

const CLUSTER = 'arn:aws:ecs:us-east-1:111122223333:cluster/ephemeral';
const MACHINE = 'arn:aws:states:us-east-1:111122223333:stateMachine:ephemeral-session';

/** The pattern with its references resolved. */
function pattern(name: string): unknown {
  const text = JSON.stringify(rules[name]?.['EventPattern'])
    .replace('{"Fn::GetAtt":["Cluster","Arn"]}', JSON.stringify(CLUSTER))
    .replace(/\{"Fn::Join":\["",\["arn:",\{"Ref":"AWS::Partition"\},":states:".*?\]\]\}/, JSON.stringify(MACHINE));
  assert.doesNotMatch(text, /Fn::|"Ref"/);
  return JSON.parse(text);
}

/** EventBridge's matching of plain values: each field of the pattern has one of the listed values. */
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
  it('send the changes of a task that a session waits for to the queue for task events', () => {
    for (const lastStatus of ['RUNNING', 'STOPPED']) {
      assert.ok(matches(pattern('TaskEvents'), taskEvent({ lastStatus })));
    }
    for (const lastStatus of ['PROVISIONING', 'PENDING', 'DEACTIVATING', 'STOPPING']) {
      assert.ok(!matches(pattern('TaskEvents'), taskEvent({ lastStatus })));
    }
    assert.match(JSON.stringify(rules['TaskEvents']?.['Targets']), /TaskEventsQueue/);
    assert.equal(rules['TaskEvents']?.['Targets'][0].Input, undefined);
  });

  it('ignore tasks of other clusters and other events of ECS', () => {
    assert.ok(!matches(pattern('TaskEvents'), taskEvent({ clusterArn: `${CLUSTER}-other` })));
    assert.ok(!matches(pattern('TaskEvents'), { ...taskEvent(), 'detail-type': 'ECS Deployment State Change' }));
    assert.ok(!matches(pattern('TaskEvents'), { ...taskEvent(), source: 'another.source' }));
  });

  it('close the session of an execution that failed, timed out or was aborted', () => {
    for (const status of ['FAILED', 'TIMED_OUT', 'ABORTED']) {
      assert.ok(matches(pattern('FailedExecutions'), executionEvent({ status })));
    }
    const [target] = rules['FailedExecutions']?.['Targets'];
    assert.match(JSON.stringify(target.Arn), /CloseSessionFunction/);
    const [[variable, path]] = Object.entries(target.InputTransformer.InputPathsMap) as [[string, string]];
    assert.equal(path, '$.detail.name');
    assert.equal(target.InputTransformer.InputTemplate, `{"sessionId":<${variable}>}`);
  });

  it('ignore executions that run, succeeded or belong to another machine', () => {
    for (const status of ['RUNNING', 'SUCCEEDED']) {
      assert.ok(!matches(pattern('FailedExecutions'), executionEvent({ status })));
    }
    assert.ok(!matches(pattern('FailedExecutions'), executionEvent({ stateMachineArn: `${MACHINE}-other` })));
  });
});

describe('schedules', () => {
  it('run the sweep every minute', () => {
    assert.equal(rules['SweepSchedule']?.['ScheduleExpression'], 'rate(1 minute)');
    assert.match(JSON.stringify(rules['SweepSchedule']?.['Targets']), /SweepFunction/);
  });

  it('send a message to fill the pool every minute, only if warm tasks are configured', () => {
    assert.equal(rules['FillPoolSchedule']?.['ScheduleExpression'], 'rate(1 minute)');
    const [target] = rules['FillPoolSchedule']?.['Targets'];
    assert.match(JSON.stringify(target.Arn), /ControlQueue/);
    assert.deepEqual(JSON.parse(target.Input), { type: 'fillPool' });
    const without = ofType(synthesize().resources, 'AWS::Events::Rule').map(([id]) => id);
    assert.ok(!without.some((id) => id.startsWith('FillPool')));
  });
});
