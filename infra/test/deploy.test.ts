import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import { DescribeTasksCommand, ECSClient, ListTaskDefinitionsCommand, ListTasksCommand, RunTaskCommand } from '@aws-sdk/client-ecs';
import { GetObjectCommand, HeadBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { consoleFiles } from '../lib/operate/console-files.ts';
import { findStack } from '../lib/operate/stack.ts';
import { PLACEHOLDER } from '../lib/settings.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const MINISTACK = process.env['MINISTACK'] ?? join(ROOT, 'target', 'venv', 'bin', 'ministack');
/** The emulator neither pulls the image nor starts the binary, and does not know the route responses of `link`. */
const SETTINGS = ['stackName=shells', 'transport=exec', `bootstrap=${PLACEHOLDER}`, 'shellImage=public.ecr.aws/example/shell:1'].flatMap((setting) => ['-c', setting]);
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test', AWS_REGION: 'us-east-1' };

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

  function script(name: string, ...given: string[]) {
    const env = { ...process.env, ...CREDENTIALS, AWS_ENDPOINT_URL: endpoint, EPHEMERAL_DRAIN_SECONDS: '1' };
    const args = ['--output', join(directory, 'cdk.out'), ...given];
    const { status, stdout, stderr } = spawnSync(join(ROOT, 'scripts', name), args, { env, encoding: 'utf8' });
    return { status, said: stdout + stderr };
  }

  function deploy(...given: string[]): string {
    const { status, said } = script('deploy', ...SETTINGS, ...given);
    assert.equal(status, 0, said);
    return said;
  }

  function destroy(): string {
    const { status, said } = script('destroy', ...SETTINGS);
    assert.equal(status, 0, said);
    return said;
  }

  function client<T>(kind: new (config: object) => T): T {
    return new kind({ endpoint, region: CREDENTIALS.AWS_REGION, credentials: { accessKeyId: 'test', secretAccessKey: 'test' } });
  }

  function s3(): S3Client {
    return new S3Client({ endpoint, region: CREDENTIALS.AWS_REGION, credentials: { accessKeyId: 'test', secretAccessKey: 'test' }, forcePathStyle: true });
  }

  async function outputs(): Promise<Readonly<Record<string, string>>> {
    return (await findStack(client(CloudFormationClient), 'shells'))?.outputs ?? {};
  }

  async function recorded(): Promise<Record<string, string>> {
    return JSON.parse((await outputs())['Settings'] ?? '{}') as Record<string, string>;
  }

  function step(name: string, body: () => void | Promise<void>): void {
    it(name, (test) => {
      if (emulator !== undefined) return body();
      console.log('SKIPPED: no ministack: run scripts/aws-tools');
      return test.skip('no ministack');
    });
  }

  step('creates the stack, and says where, with which quotas, and the URL of the API', () => {
    const said = deploy('-c', 'warm=2', '-c', 'retentionDays=3');
    assert.match(said, /^account 000000000000, region us-east-1, stack shells$/m);
    assert.match(said, /^Lambda concurrent executions: \d+ /m);
    assert.match(said, /shells\.ApiUrl = http/);
  });

  step('changes nothing the second time, without the settings', () => {
    const said = deploy();
    assert.match(said, /no changes/);
    assert.doesNotMatch(said, /^changes: /m);
  });

  step('changes a given setting, returns another one to its default, and keeps the rest', async () => {
    const said = deploy('-c', 'warm=1', '--reset', 'retentionDays');
    assert.deepEqual(said.match(/^changes: .*$/gm), ['changes: retentionDays: 3 -> (default)', 'changes: warm: 2 -> 1']);
    const { network, retentionDays, warm } = await recorded();
    assert.deepEqual({ network, retentionDays, warm }, { network: 'public', retentionDays: undefined, warm: '1' });
  });

  step('adds the console with its files, and how to sign in', async () => {
    const said = deploy('-c', 'console=true');
    assert.match(said, /^changes: console: \(default\) -> true \(.*\)$/m);
    assert.match(said, /^wrote \d+ files of the console: https:\/\/\S+\/$/m);
    const { ConsoleBucketName: bucket, ConsoleConfig: config = '', UserPoolId: pool = '' } = await outputs();
    const { Contents } = await s3().send(new ListObjectsV2Command({ Bucket: bucket }));
    assert.deepEqual(Contents?.map(({ Key }) => Key).sort(), consoleFiles('').map(({ key }) => key).sort());
    const found = await s3().send(new GetObjectCommand({ Bucket: bucket, Key: 'config.json' }));
    assert.deepEqual([found.ContentType, found.CacheControl, await found.Body?.transformToString()], ['application/json', 'no-cache', config]);
    assert.match((JSON.parse(config) as { issuer: string }).issuer, new RegExp(`/${pool}$`));
  });

  step('removes the console with its bucket', async () => {
    const { ConsoleBucketName: bucket = '' } = await outputs();
    assert.match(deploy('-c', 'console=false'), /^deleted \d+ files of the console, which this deployment removes$/m);
    await assert.rejects(s3().send(new HeadBucketCommand({ Bucket: bucket })), { name: 'NotFound' });
    assert.equal((await outputs())['ConsoleUrl'], undefined);
  });

  step('creates no second deployment if the name of the first one is left out', () => {
    const { status, said } = script('deploy');
    assert.equal(status, 1);
    assert.match(said, /^error: this account has the deployment shells, but no stack ephemeral\. hint: give -c stackName=shells /m);
  });

  step('does not change the network or the transport while a task runs', async () => {
    const { ClusterArn: cluster } = await outputs();
    const ecs = client(ECSClient);
    const { taskDefinitionArns } = await ecs.send(new ListTaskDefinitionsCommand({}));
    await ecs.send(new RunTaskCommand({ cluster, taskDefinition: taskDefinitionArns?.[0], startedBy: 'sh_1' }));
    const { status, said } = script('deploy', ...SETTINGS, '-c', 'network=private');
    assert.equal(status, 1);
    assert.match(said, /^changes: network: public -> private \(.*\)$/m);
    assert.match(said, /^error: network cannot change while shells run\./m);
    assert.match(script('deploy', ...SETTINGS, '-c', 'transport=link').said, /^error: transport cannot change while shells run\./m);
  });

  step('deletes the stack while an execution and a task run', async () => {
    const { StateMachineArn: stateMachineArn, ClusterArn: cluster } = await outputs();
    await client(SFNClient).send(new StartExecutionCommand({ stateMachineArn, name: 'sh_1', input: '{"sessionId":"sh_1"}' }));
    const said = destroy();
    assert.match(said, /^ended 1 executions$/m);
    assert.match(said, /^stopped 1 tasks$/m);
    assert.match(said, /^deleted the stack shells;/m);
    const ecs = client(ECSClient);
    const { taskArns } = await ecs.send(new ListTasksCommand({ cluster })).catch(() => ({ taskArns: [] }));
    const { tasks } = taskArns?.length ? await ecs.send(new DescribeTasksCommand({ cluster, tasks: taskArns })) : { tasks: [] };
    assert.deepEqual(tasks?.filter(({ lastStatus }) => lastStatus !== 'STOPPED'), []);
  });

  step('deploys again under the same name, and deletes what does not exist without an error', () => {
    assert.match(deploy('-c', 'console=true'), /shells\.ConsoleUrl = https/);
    const said = destroy();
    assert.match(said, /^ended 0 executions$/m);
    assert.match(said, /^deleted [1-9]\d* objects of \S+$/m);
    assert.match(destroy(), /^there is no stack shells$/m);
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
