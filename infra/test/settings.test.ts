import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PLACEHOLDER, readSettings } from '../lib/settings.ts';

function read(context: Record<string, unknown>) {
  return readSettings((name) => ({ bootstrap: PLACEHOLDER, ...context })[name]);
}

describe('settings', () => {
  it('have defaults for everything', () => {
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
    it(`refuse ${name}=${value} and say which one it was`, () => {
      assert.throws(() => read({ [name]: value }), new RegExp(name === 'jwtAudience' ? 'jwtIssuer' : name));
    });
  }

  it('refuse a usual lifetime above the longest', () => {
    assert.throws(() => read({ defaultTtlSeconds: '600', maxTtlSeconds: '60' }), /defaultTtlSeconds/);
  });

  it('refuse an issuer that is not reached by TLS', () => {
    assert.throws(() => read({ jwtIssuer: 'http://issuer.example', jwtAudience: 'a' }), /jwtIssuer/);
  });
});
