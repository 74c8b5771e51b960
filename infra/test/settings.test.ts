import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PLACEHOLDER, readSettings } from '../lib/settings.ts';

function read(context: Record<string, unknown>) {
  return readSettings((name) => ({ bootstrap: PLACEHOLDER, ...context })[name]);
}

describe('settings', () => {
  it('have a default for everything', () => {
    const settings = read({});
    assert.equal(settings.architecture, 'arm64');
    assert.equal(settings.network, 'public');
    assert.equal(settings.maxActiveSessions, 5);
    assert.equal(settings.warm, 0);
    assert.equal(settings.webhookAllowPrivate, false);
  });

  for (const [name, value] of [
    ['architecture', 'mips'],
    ['network', 'secret'],
    ['maxActiveSessions', '0'],
    ['maxTtlSeconds', '28801'],
    ['warm', '1.5'],
    ['tracing', 'yes'],
    ['logRetentionDays', '10'],
    ['bootstrap', 'no/such/directory'],
    ['jwtAudience', 'without-an-issuer'],
    ['environment', '{"KEY":1}'],
  ] as const) {
    it(`refuse ${name}=${value} with an error that names the setting`, () => {
      assert.throws(() => read({ [name]: value }), new RegExp(name === 'jwtAudience' ? 'jwtIssuer' : name));
    });
  }

  it('refuse a default lifetime above the maximum', () => {
    assert.throws(() => read({ defaultTtlSeconds: '600', maxTtlSeconds: '60' }), /defaultTtlSeconds/);
  });

  it('refuse an issuer without TLS', () => {
    assert.throws(() => read({ jwtIssuer: 'http://issuer.example', jwtAudience: 'a' }), /jwtIssuer/);
  });
});
