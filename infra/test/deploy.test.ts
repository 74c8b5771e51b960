import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { PLACEHOLDER } from '../lib/settings.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const VENV = join(ROOT, 'target', 'venv', 'bin');
const MINISTACK = process.env['MINISTACK'] ?? join(VENV, 'ministack');
/** The emulator neither pulls the image nor starts the binary. */
const SETTINGS = [`bootstrap=${PLACEHOLDER}`, 'shellImage=public.ecr.aws/example/shell:1'];

describe('deployment to an emulator by the CDK CLI', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ephemeral-deploy-'));
  let emulator: ChildProcess | undefined;
  let endpoint = '';

  before(async () => {
    if (!existsSync(MINISTACK)) return;
    const port = await freePort();
    endpoint = `http://localhost:${port}`;
    const settings = { BIND_HOST: '127.0.0.1', GATEWAY_PORT: String(port), S3_DATA_DIR: join(directory, 's3'), TMPDIR: directory };
    emulator = spawn(MINISTACK, { env: { ...process.env, ...settings }, stdio: 'ignore' });
    await answers(endpoint);
  });
  after(() => {
    emulator?.kill();
    rmSync(directory, { recursive: true, force: true });
  });

  function script(name: string): string {
    const settings = SETTINGS.flatMap((setting) => ['-c', setting]);
    const env = {
      ...process.env,
      PATH: `${VENV}${delimiter}${process.env['PATH']}`,
      AWS_ENDPOINT_URL: endpoint,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_REGION: 'us-east-1',
      AWS_DEFAULT_REGION: 'us-east-1',
    };
    const args = ['--output', join(directory, 'cdk.out'), ...settings];
    const { status, stdout, stderr } = spawnSync(join(ROOT, 'scripts', name), args, { env, encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
    return stdout + stderr;
  }

  function skipped(test: TestContext): boolean {
    if (emulator !== undefined) return false;
    console.log('SKIPPED: no ministack: run scripts/aws-tools');
    test.skip('no ministack');
    return true;
  }

  it('creates the stack and prints the URL of the API', (test) => {
    if (skipped(test)) return;
    assert.match(script('deploy'), /ephemeral\.ApiUrl = http/);
  });

  it('changes nothing the second time', (test) => {
    if (skipped(test)) return;
    assert.match(script('deploy'), /no changes/);
  });

  it('deletes the stack', (test) => {
    if (skipped(test)) return;
    assert.match(script('destroy'), /ephemeral: destroyed/);
  });
});

describe('scripts', () => {
  for (const name of ['deploy', 'destroy']) {
    it(`${name} fails at once without credentials`, () => {
      const { status, stderr } = spawnSync(join(ROOT, 'scripts', name), { env: { PATH: process.env['PATH'], HOME: '/nonexistent' }, encoding: 'utf8' });
      assert.equal(status, 1);
      assert.match(stderr, /^error: no AWS credentials are configured\. hint: /);
    });
  }
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answers(url: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      await fetch(`${url}/_ministack/health`);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
