import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PLACEHOLDER, readSettings } from '../lib/settings.ts';

function read(context: Record<string, unknown>) {
  return readSettings((name) => ({ bootstrap: PLACEHOLDER, ...context })[name]);
}

describe('settings', () => {
  it('have a default for everything', () => {
    const settings = read({});
    assert.equal(settings.architecture, process.arch === 'x64' ? 'x86_64' : 'arm64');
    assert.equal(settings.network, 'public');
    assert.deepEqual([settings.transport, settings.terminals], ['link', false]);
    assert.equal(settings.maxActiveSessions, 5);
    assert.equal(settings.startsPerMinute, 600);
    assert.equal(settings.maxSessions, undefined);
    assert.equal(settings.warm, 0);
    assert.equal(settings.webhookAllowPrivate, false);
  });

  for (const [name, value] of [
    ['architecture', 'mips'],
    ['network', 'secret'],
    ['transport', 'post'],
    ['maxActiveSessions', '0'],
    ['startsPerMinute', '-1'],
    ['startsPerMinute', '60001'],
    ['maxSessions', '0'],
    ['maxTtlSeconds', '28801'],
    ['warm', '1.5'],
    ['tracing', 'yes'],
    ['logRetentionDays', '10'],
    ['bootstrap', 'no/such/directory'],
    ['jwtAudience', 'without-an-issuer'],
    ['environment', '{"KEY":1}'],
    ['egressPorts', '80'],
    ['egressPorts', '443,http'],
    ['maxCpu', '8192'],
    ['maxLifetimeSeconds', '1'],
    ['alarmEmail', 'nobody'],
    ['budgetUsd', '100'],
    ['placedWithinSeconds', '481'],
    ['ssmClientVersion', 'new'],
  ] as const) {
    it(`refuse ${name}=${value} with an error that names the setting`, () => {
      assert.throws(() => read({ [name]: value }), new RegExp(name === 'jwtAudience' ? 'jwtIssuer' : name));
    });
  }

  it('of the console demand the client of a given issuer, and only of that', () => {
    const issuer = { jwtIssuer: 'https://issuer.example', jwtAudience: 'a' };
    assert.equal(read({ consoleClientId: 'kept while the console is off' }).console, undefined);
    assert.throws(() => read({ console: 'true', ...issuer }), /consoleClientId/);
    assert.throws(() => read({ console: 'true', consoleClientId: 'c' }), /consoleClientId/);
    assert.deepEqual(read({ console: 'true', consoleClientId: 'c', jwtScope: 'use', ...issuer }).console, { clientId: 'c', scopes: ['openid', 'use'], tokenOrigin: undefined });
    for (const consoleTokenOrigin of ['http://tokens.example', 'https://tokens.example/', 'https://*.example', 'https:', 'tokens.example', "https://a.example;script-src"]) {
      assert.throws(() => read({ console: 'true', consoleClientId: 'c', consoleTokenOrigin, ...issuer }), /consoleTokenOrigin/, consoleTokenOrigin);
    }
  });

  it('record what was given, without files of this machine, and always what must not change silently', () => {
    const given = { warm: '2', environment: '{"KEY":"value"}', architecture: 'arm64', stackName: 'other', shellImage: PLACEHOLDER };
    const unspoken = { network: 'public', transport: 'link', deletionProtection: 'false' };
    assert.deepEqual(read(given).recorded, { ...unspoken, warm: '2', environment: '{"KEY":"value"}', architecture: 'arm64' });
    assert.equal(read({ shellImage: 'registry.example/shell:1' }).recorded['shellImage'], 'registry.example/shell:1');
  });

  it('refuse instances in public networks, and types that do not fit', () => {
    assert.equal(read({ isolation: 'shared', instanceType: 'kept while capacity is fargate' }).instances, undefined);
    assert.throws(() => read({ capacity: 'ec2' }), /network must be nat or private where capacity is ec2: .* no public address/);
    const ec2 = (context: Record<string, string>) => read({ capacity: 'ec2', network: 'nat', architecture: 'arm64', ...context });
    for (const [context, message] of [
      [{ instanceType: 'p5.48xlarge' }, /instanceType must be a type of the families c, m or r/],
      [{ instanceType: 'm7a.medium' }, /instanceType must be a type with processors of arm64/],
      [{ instanceType: 'm7g.large' }, /instanceType must be of size medium where isolation is session/],
      [{ isolation: 'user' }, /isolation must be one of session, shared/],
      [{ minInstances: '11' }, /minInstances must be a whole number from 0 to 10/],
      [{ maxCpu: '2048' }, /maxCpu must be a whole number from 256 to 1024/],
      [{ maxMemoryMiB: '4096' }, /maxMemoryMiB must be a whole number from 512 to 3072/],
    ] as const) assert.throws(() => ec2(context), message);
  });

  it('limit shells to what fits on an instance', () => {
    const largest = (instanceType: string, architecture: string) => {
      const { maxCpu, maxMemoryMiB } = read({ capacity: 'ec2', network: 'private', isolation: 'shared', architecture, instanceType });
      return [maxCpu, maxMemoryMiB];
    };
    assert.deepEqual(largest('c7g.medium', 'arm64'), [1_024, 1_024]);
    assert.deepEqual(largest('m7gd.xlarge', 'arm64'), [4_096, 14_336]);
    assert.deepEqual(largest('r7i.4xlarge', 'x86_64'), [4_096, 30_720]);
    const { instances } = read({ capacity: 'ec2', network: 'nat', architecture: 'x86_64' });
    assert.deepEqual(instances, { type: 'm7a.medium', isolation: 'session', min: 0, max: 10, largest: { cpu: 1_024, memoryMiB: 3_072 } });
  });

  it('refuse a default lifetime above the maximum', () => {
    assert.throws(() => read({ defaultTtlSeconds: '600', maxTtlSeconds: '60' }), /defaultTtlSeconds/);
  });

  it('refuse an issuer without TLS', () => {
    assert.throws(() => read({ jwtIssuer: 'http://issuer.example', jwtAudience: 'a' }), /jwtIssuer/);
  });
});
