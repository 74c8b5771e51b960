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
    assert.equal(settings.warm, 0);
    assert.equal(settings.webhookAllowPrivate, false);
  });

  for (const [name, value] of [
    ['architecture', 'mips'],
    ['network', 'secret'],
    ['transport', 'post'],
    ['maxActiveSessions', '0'],
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

  it('refuse a default lifetime above the maximum', () => {
    assert.throws(() => read({ defaultTtlSeconds: '600', maxTtlSeconds: '60' }), /defaultTtlSeconds/);
  });

  it('refuse an issuer without TLS', () => {
    assert.throws(() => read({ jwtIssuer: 'http://issuer.example', jwtAudience: 'a' }), /jwtIssuer/);
  });
});
