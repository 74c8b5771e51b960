import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeQuotas, quotasOf, VCPUS, VPCS } from '../lib/operate/account.ts';
import { describeChanges, needsNoInstances, needsNoShells, parseArguments, plan } from '../lib/operate/plan.ts';

const KEPT = { network: 'private', transport: 'exec', architecture: 'arm64', deletionProtection: 'true', jwtIssuer: 'https://i.example', jwtAudience: 'a', warm: '2' };

function planned(args: string[], settings: Record<string, string> | undefined = KEPT) {
  const { context, changes } = plan(parseArguments(args), { settings });
  return { context: Object.fromEntries(context), changes: describeChanges(changes) };
}

describe('the plan of a deployment', () => {
  it('keeps every setting that is not given', () => {
    assert.deepEqual(planned([]), { context: KEPT, changes: [] });
  });

  it('changes what is given, and says so', () => {
    const { context, changes } = planned(['-c', 'warm=3', '--context', 'retentionDays=30']);
    assert.deepEqual(context, { ...KEPT, warm: '3', retentionDays: '30' });
    assert.deepEqual(changes, ['retentionDays: (default) -> 30', 'warm: 2 -> 3']);
  });

  for (const [name, value] of [
    ['transport', 'link'],
    ['jwtIssuer', 'https://j.example'],
    ['jwtAudience', 'b'],
    ['architecture', 'x86_64'],
    ['deletionProtection', 'false'],
  ] as const) {
    it(`says what a change of ${name} means`, () => {
      const { changes } = planned(['-c', `${name}=${value}`]);
      assert.equal(changes.length, 1);
      assert.match(changes[0] ?? '', new RegExp(`^${name}: ${KEPT[name]} -> ${value} \\(.{20}`));
    });
  }

  it('says what a change of network means, and leaves the transport to the new network', () => {
    const { context, changes } = planned(['-c', 'network=public']);
    assert.equal(context['transport'], undefined);
    assert.match(changes[0] ?? '', /^network: private -> public \(.{20}/);
    assert.match(changes[1] ?? '', /^transport: exec -> \(default\) \(.{20}/);
    assert.equal(changes.length, 2);
    assert.equal(planned(['-c', 'network=public', '-c', 'transport=exec']).context['transport'], 'exec');
    // The same network.
    assert.equal(planned(['-c', 'network=private']).context['transport'], 'exec');
    assert.equal(planned(['--reset', 'network'], { ...KEPT, network: 'public' }).context['transport'], 'exec');
  });

  it('keeps ECS Exec where a version deployed that recorded no transport', () => {
    const { context, changes } = planned([], { network: 'public', architecture: 'arm64' });
    assert.deepEqual([context['transport'], changes], ['exec', []]);
    const changed = planned(['-c', 'transport=link'], { network: 'public', architecture: 'arm64' }).changes;
    assert.deepEqual(changed.map((line) => line.split(' (')[0]), ['transport: exec -> link']);
  });

  it('needs no shells for another network or transport, however that comes about', () => {
    const needed = (settings: Record<string, string> | undefined, args: string[], next: 'exec' | 'link') =>
      needsNoShells({ settings }, plan(parseArguments(args), { settings }).changes, { transport: next, capacity: 'fargate' });
    assert.equal(needed(KEPT, ['-c', 'warm=3'], 'exec'), undefined);
    assert.equal(needed(KEPT, ['-c', 'network=nat'], 'link'), 'network');
    assert.equal(needed(KEPT, ['--reset', 'transport'], 'link'), 'transport');
    assert.equal(needed({ ...KEPT, transport: 'link' }, [], 'link'), undefined);
    assert.equal(needed(undefined, ['-c', 'network=nat', '-c', 'architecture=arm64'], 'exec'), undefined);
    assert.equal(needed(undefined, ['-c', 'network=nat', '-c', 'architecture=arm64'], 'link'), 'transport');
  });

  it('needs no shells for another capacity, and no instances for another network or architecture', () => {
    const ec2 = { network: 'nat', transport: 'link', architecture: 'arm64', capacity: 'ec2' };
    const needed = (settings: Record<string, string>, args: string[], capacity: 'fargate' | 'ec2') => {
      const { changes } = plan(parseArguments(args), { settings });
      const next = { transport: 'link', capacity } as const;
      return [needsNoShells({ settings }, changes, next), needsNoInstances({ settings }, changes, next)];
    };
    const { capacity: _, ...fargate } = ec2;
    assert.deepEqual(needed(fargate, ['-c', 'capacity=ec2'], 'ec2'), ['capacity', undefined]);
    assert.deepEqual(needed(fargate, ['-c', 'capacity=fargate'], 'fargate'), [undefined, undefined]);
    assert.deepEqual(needed(ec2, ['--reset', 'capacity'], 'fargate'), ['capacity', undefined]);
    assert.deepEqual(needed(ec2, ['-c', 'maxInstances=20', '-c', 'isolation=shared'], 'ec2'), [undefined, undefined]);
    assert.deepEqual(needed(ec2, ['-c', 'architecture=x86_64'], 'ec2'), [undefined, 'architecture']);
    assert.deepEqual(needed(ec2, ['-c', 'network=private'], 'ec2'), ['network', 'network']);
  });

  it('keeps and shows the settings of instances as all others', () => {
    const settings = { ...KEPT, network: 'nat', capacity: 'ec2', maxInstances: '20' };
    assert.deepEqual(planned([], settings), { context: settings, changes: [] });
    assert.match(planned(['-c', 'isolation=shared'], settings).changes[0] ?? '', /^isolation: \(default\) -> shared \(.{20}/);
    assert.match(planned(['--reset', 'capacity'], settings).changes[0] ?? '', /^capacity: ec2 -> \(default\) \(.{20}/);
  });

  it('returns a setting to its default by --reset or an empty value', () => {
    for (const args of [['--reset', 'warm'], ['-c', 'warm=']]) {
      const { context, changes } = planned(args);
      assert.equal(context['warm'], undefined);
      assert.deepEqual(changes, ['warm: 2 -> (default)']);
    }
  });

  it('uses the architecture of this machine for a first deployment', () => {
    const { context } = plan(parseArguments([]), undefined);
    assert.deepEqual(Object.fromEntries(context), { architecture: process.arch === 'x64' ? 'x86_64' : 'arm64' });
  });

  it('keeps the stack name and files of this machine out of the comparison', () => {
    const { context, changes } = planned(['-c', 'stackName=other', '-c', 'bootstrap=/tmp', '-c', 'shellImage=/tmp']);
    assert.deepEqual([context['stackName'], context['bootstrap'], context['shellImage']], ['other', '/tmp', '/tmp']);
    assert.deepEqual(changes, []);
  });

  it('demands the network and the architecture if the deployed version recorded nothing', () => {
    assert.throws(() => plan(parseArguments([]), { settings: undefined }), /-c network=… -c architecture=…/);
    const { context } = plan(parseArguments(['-c', 'network=nat', '-c', 'architecture=arm64']), { settings: undefined });
    assert.deepEqual(Object.fromEntries(context), { network: 'nat', architecture: 'arm64', transport: 'exec' });
  });

  for (const args of [['-c', 'colour=red'], ['--reset', 'colour'], ['-c', 'warm'], ['-c'], ['-c', 'warm=1', '--reset', 'warm'], ['-c', 'logLevel=a\nb']]) {
    it(`refuses ${JSON.stringify(args)}`, () => assert.throws(() => parseArguments(args)));
  }

  it('passes other arguments on, and an environment as one line', () => {
    const { given, others } = parseArguments(['--output', 'dir', '-c', 'environment={\n"A": "b=c"}']);
    assert.deepEqual(others, ['--output', 'dir']);
    assert.equal(given.get('environment'), '{"A":"b=c"}');
  });
});

describe('the quotas', () => {
  it('are shown with the command that raises a low one', () => {
    const lines = describeQuotas(new Map([[VCPUS, 6], [VPCS, 5]]), 'eu-west-1');
    assert.equal(lines.length, 3);
    assert.match(lines[0] ?? '', /Fargate On-Demand vCPUs: 6 \(24 shells of 0\.25 vCPU\)/);
    assert.match(lines[1] ?? '', /--region eu-west-1 --service-code fargate --quota-code L-3032A538 --desired-value 64$/);
    assert.match(lines[2] ?? '', /^VPCs per region: 5 /);
  });

  it('of EC2 take the place of those of Fargate where instances run shells', () => {
    assert.deepEqual(quotasOf('fargate'), [VCPUS, VPCS]);
    const lines = describeQuotas(new Map(quotasOf('ec2').map((quota) => [quota, 5])), 'eu-west-1');
    assert.match(lines[0] ?? '', /^EC2 On-Demand Standard vCPUs: 5 \(5 instances of size medium/);
    assert.match(lines[1] ?? '', /--service-code ec2 --quota-code L-1216C47A --desired-value 64$/);
    assert.match(lines[3] ?? '', /--service-code ec2 --quota-code L-34B43A08 --desired-value 64$/);
  });

  it('that cannot be read are unknown', () => {
    assert.deepEqual(describeQuotas(new Map([[VCPUS, new Error('AccessDenied')]]), 'eu-west-1'), ['Fargate On-Demand vCPUs: unknown (AccessDenied)']);
  });
});
