/** How instances are ended and groups resumed, against a fake of EC2 Auto Scaling and of ECS. */

import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { endInstances, GROUP, resumeGroups } from '../lib/operate/instances.ts';

interface Instance {
  readonly id: string;
  state: 'InService' | 'Terminating:Wait' | 'Terminating';
  guarded: boolean;
}

const RESOURCES = [
  { logicalId: 'OnDemandInstances', type: GROUP, id: 'group' },
  { logicalId: 'InstanceCluster', type: 'AWS::ECS::Cluster', id: 'cluster' },
];

describe('the end of instances', () => {
  const variables = ['AWS_ENDPOINT_URL_AUTO_SCALING', 'AWS_ENDPOINT_URL_ECS', 'AWS_REGION', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'];
  const saved = variables.map((name) => [name, process.env[name]] as const);
  let server: Server;
  let instances: Instance[] = [];
  let size = { min: 2, max: 10 };
  let registered: string[] = [];
  let calls: string[] = [];
  /** Whether the hook of ECS completes by itself before the script completes it. */
  let isLate = false;

  before(async () => {
    server = createServer((request, response) => void answer(request).then(({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const name of variables) process.env[name] = name.startsWith('AWS_ENDPOINT') ? url : 'us-east-1';
  });
  after(() => {
    for (const [name, value] of saved) if (value === undefined) delete process.env[name]; else process.env[name] = value;
    server.close();
  });
  beforeEach(() => {
    [instances, registered, calls, size, isLate] = [[], [], [], { min: 2, max: 10 }, false];
  });

  async function answer(request: IncomingMessage): Promise<{ status: number; type: string; body: string }> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const target = request.headers['x-amz-target'];
    if (typeof target === 'string') return { status: 200, type: 'application/x-amz-json-1.1', body: JSON.stringify(ecs(target.split('.')[1] ?? '', JSON.parse(text))) };
    const query = new URLSearchParams(text);
    const action = query.get('Action') ?? '';
    calls.push(action);
    const { status, result } = autoScaling(action, query);
    const body = status === 200 ? `<${action}Response><${action}Result>${result}</${action}Result></${action}Response>` : result;
    return { status, type: 'text/xml', body };
  }

  function ecs(operation: string, input: Record<string, unknown>): unknown {
    if (operation === 'ListContainerInstances') return { containerInstanceArns: registered };
    assert.deepEqual([operation, input['force']], ['DeregisterContainerInstance', true]);
    registered = registered.filter((one) => one !== input['containerInstance']);
    return {};
  }

  function autoScaling(action: string, query: URLSearchParams): { status: number; result: string } {
    switch (action) {
      case 'DescribeAutoScalingGroups': {
        instances = instances.filter(({ state }) => state !== 'Terminating');
        const members = instances.map(({ id, state, guarded }) => `<member><InstanceId>${id}</InstanceId><LifecycleState>${state}</LifecycleState><ProtectedFromScaleIn>${guarded}</ProtectedFromScaleIn></member>`);
        return ok(`<AutoScalingGroups><member><AutoScalingGroupName>group</AutoScalingGroupName><MinSize>${size.min}</MinSize><MaxSize>${size.max}</MaxSize><Instances>${members.join('')}</Instances></member></AutoScalingGroups>`);
      }
      case 'UpdateAutoScalingGroup':
        size = { min: Number(query.get('MinSize')), max: Number(query.get('MaxSize')) };
        if (size.max === 0) shrink();
        return ok('');
      case 'SetInstanceProtection':
        for (const instance of instances) instance.guarded = false;
        shrink();
        return ok('');
      case 'DescribeLifecycleHooks':
        return ok('<LifecycleHooks><member><LifecycleHookName>of-ecs</LifecycleHookName><LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition></member><member><LifecycleHookName>other</LifecycleHookName><LifecycleTransition>autoscaling:EC2_INSTANCE_LAUNCHING</LifecycleTransition></member></LifecycleHooks>');
      default:
        assert.deepEqual([action, query.get('LifecycleHookName'), query.get('LifecycleActionResult')], ['CompleteLifecycleAction', 'of-ecs', 'CONTINUE']);
        for (const instance of instances) if (instance.id === query.get('InstanceId')) instance.state = 'Terminating';
        return isLate ? { status: 400, result: '<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>No active Lifecycle Action found</Message></Error></ErrorResponse>' } : ok('');
    }
  }

  function ok(result: string) {
    return { status: 200, result };
  }

  /** The group ends the instances that nothing protects; each waits for the hook. */
  function shrink() {
    for (const instance of instances) if (!instance.guarded) instance.state = 'Terminating:Wait';
  }

  function options(limitMs = 10_000) {
    const lines: string[] = [];
    return { lines, quietMs: 0, pollMs: 1, limitMs, log: (line: string) => void lines.push(line) };
  }

  it('completes the hooks that they wait for, and forgets those that the cluster still knows', async () => {
    instances = ['i-1', 'i-2'].map((id) => ({ id, state: 'InService', guarded: false }));
    registered = ['arn:1'];
    const { lines, ...given } = options();
    await endInstances(RESOURCES, given);
    assert.deepEqual([instances, registered, size], [[], [], { min: 0, max: 0 }]);
    assert.equal(lines.at(-1), 'ended 2 instances');
  });

  it('removes a protection against scaling in, which would keep CloudFormation waiting', async () => {
    instances = [{ id: 'i-1', state: 'InService', guarded: true }];
    await endInstances(RESOURCES, options());
    assert.ok(calls.includes('SetInstanceProtection'));
    assert.deepEqual(instances, []);
  });

  it('goes on if ECS was faster with a hook', async () => {
    instances = [{ id: 'i-1', state: 'InService', guarded: false }];
    isLate = true;
    await endInstances(RESOURCES, options());
    assert.deepEqual(instances, []);
  });

  it('gives up with a hint instead of waiting for ever', async () => {
    instances = [{ id: 'i-1', state: 'InService', guarded: false }];
    Object.defineProperty(instances[0], 'state', { get: () => 'InService', set: () => undefined });
    await assert.rejects(endInstances(RESOURCES, options(20)), /^Error: 1 instances of group do not end\. hint: /);
  });

  it('asks for nothing in a deployment without instances', async () => {
    await endInstances(RESOURCES.slice(1), options());
    assert.equal(await resumeGroups(new Map()), 0);
    assert.deepEqual(calls, []);
  });

  it('is undone by the next deployment', async () => {
    size = { min: 0, max: 0 };
    const sizes = new Map([['group', { min: 1, max: 7 }]]);
    assert.equal(await resumeGroups(sizes), 1);
    assert.deepEqual(size, { min: 1, max: 7 });
    assert.equal(await resumeGroups(sizes), 0);
  });
});
