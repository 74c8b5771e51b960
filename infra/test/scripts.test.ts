/** The scripts of a deployment run on macOS, whose tools lack GNU options and whose bash is 3.2. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

const ROOT = join(import.meta.dirname, '..', '..');
const DEPLOYMENT = ['bootstrap', 'cdk', 'compile', 'credentials', 'deploy', 'destroy', 'image', 'infra', 'synth'];

/** Tools of macOS that accept the options that the scripts use. */
const TOOLS = [
  'basename', 'bash', 'cat', 'chmod', 'cp', 'cut', 'date', 'dirname', 'env', 'grep', 'gzip', 'head', 'mkdir', 'mktemp', 'rm',
  'sort', 'tail', 'tee', 'tr', 'wc',
];

/** Stand-ins for the tools of macOS that refuse GNU options, and for docker, which builds the binary. */
const FAKES: Record<string, string> = {
  uname: '[ "$1" = -m ] && echo arm64 || echo Darwin',
  realpath: 'case $1 in -*) echo "realpath: illegal option" >&2; exit 1;; esac; echo "$1"',
  stat: 'case $1 in -c) echo "stat: illegal option" >&2; exit 1;; esac',
  install: 'case $1 in -D) echo "install: illegal option" >&2; exit 1;; esac',
  shasum: 'cat >/dev/null; echo 0123456789012345678901234567890123456789012345678901234567890123',
  docker: 'for word; do case $word in BINARY=*) name=${word#*=};; type=local,dest=*) echo binary >"${word#*dest=}/$name";; esac; done',
};

describe('the scripts of a deployment', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ephemeral-scripts-'));
  const tools = join(directory, 'tools');
  const copy = join(directory, 'repository');
  mkdirSync(tools);
  for (const name of ['scripts', 'docker']) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  for (const tool of TOOLS) {
    const path = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).stdout.trim();
    symlinkSync(path, join(tools, tool));
  }
  for (const [name, body] of Object.entries(FAKES)) executable(join(tools, name), body);
  after(() => rmSync(directory, { recursive: true, force: true }));

  function executable(path: string, body: string) {
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
  }

  /** Replaces the program that reads and changes the account. */
  function operate(body: string) {
    executable(join(copy, 'scripts', 'infra'), `shift; ${body}`);
  }

  function run(script: string, ...args: string[]): string {
    const env = { PATH: tools, HOME: directory, AWS_PROFILE: 'test' };
    const { status, stdout, stderr } = spawnSync(join(copy, 'scripts', script), args, { cwd: directory, env, encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
    return stdout;
  }

  it('compile the functions in a container with the tools of macOS', () => {
    assert.match(run('bootstrap', 'arm64'), /^target\/lambda\/arm64\/bootstrap: 0 KiB, zipped 0 KiB, [0-9]{64}\n$/);
    assert.equal(readFileSync(join(copy, 'target', 'lambda', 'arm64', 'bootstrap'), 'utf8'), 'binary\n');
  });

  it('take a relative file in a directory that does not exist', () => {
    run('compile', 'bootstrap', 'arm64', 'made/by/compile');
    assert.equal(readFileSync(join(directory, 'made', 'by', 'compile'), 'utf8'), 'binary\n');
  });

  it('put the current week into the image, before its packages are installed', () => {
    run('image', '--context', 'arm64');
    const context = join(copy, 'target', 'image', 'arm64');
    assert.match(readFileSync(join(context, 'week'), 'utf8'), /^\d{4}-W\d{2}\n$/);
    assert.match(readFileSync(join(context, 'Dockerfile'), 'utf8'), /^COPY week [^]*^RUN .*[^]*apt-get install/m);
    assert.equal(readFileSync(join(context, 'runner'), 'utf8'), 'binary\n');
  });

  it('pass exactly the planned arguments to the CDK', () => {
    const planned = ['-c', 'architecture=arm64', '-c', 'shellImage=registry.example/shell:1', '-c', 'bootstrap=a b', '--output', 'dir'];
    operate(`[ $1 = plan ] && printf '%s\\n' ${planned.map((argument) => `'${argument}'`).join(' ')}; [ $1 != prepare ] || echo bootstrapped`);
    executable(join(copy, 'scripts', 'cdk'), 'echo "cdk $# $*"');
    assert.equal(run('deploy'), `cdk ${planned.length + 3} deploy --require-approval never ${planned.join(' ')}\n`);
  });

  it('build for the planned architecture', () => {
    operate("[ $1 != plan ] || printf '%s\\n' -c architecture=x86_64; [ $1 != prepare ] || echo bootstrapped");
    executable(join(copy, 'scripts', 'cdk'), 'echo "cdk $*"');
    const built = run('deploy').trim().split('\n').at(-1);
    const target = join(copy, 'target');
    assert.equal(built, `cdk deploy --require-approval never -c architecture=x86_64 -c shellImage=${target}/image/x86_64 -c bootstrap=${target}/lambda/x86_64`);
  });

  it('bootstrap the account only if it is not bootstrapped', () => {
    executable(join(copy, 'scripts', 'cdk'), 'echo "cdk $1"');
    const calls = (state: string) => {
      operate(`[ $1 != plan ] || printf '%s\\n' -c architecture=arm64 -c shellImage=a:1 -c bootstrap=dir; [ $1 != prepare ] || echo ${state}`);
      return run('deploy').trim().split('\n');
    };
    assert.deepEqual(calls('bootstrapped'), ['cdk deploy']);
    assert.deepEqual(calls('not bootstrapped'), ['cdk bootstrap', 'cdk deploy']);
  });

  it('prepare the account with the planned settings, and write the console after the stack', () => {
    const log = join(directory, 'calls');
    operate(`echo "$@" >>'${log}'; [ $1 != plan ] || printf '%s\\n' -c console=true -c shellImage=a:1 -c bootstrap=dir -c stackName=other; [ $1 != prepare ] || echo bootstrapped`);
    executable(join(copy, 'scripts', 'cdk'), `echo "cdk $1" >>'${log}'`);
    run('deploy', '-c', 'console=true');
    const calls = readFileSync(log, 'utf8').trim().split('\n');
    assert.deepEqual(calls, [
      'plan -c console=true',
      'prepare -c console=true -c shellImage=a:1 -c bootstrap=dir -c stackName=other',
      'cdk deploy',
      'console -c stackName=other',
      'resume -c stackName=other',
    ]);
  });

  for (const name of DEPLOYMENT) {
    it(`${name} uses nothing that bash 3.2 lacks`, () => {
      const source = readFileSync(join(ROOT, 'scripts', name), 'utf8');
      const code = source.split('\n').filter((line) => !/^\s*#/.test(line)).join('\n');
      assert.doesNotMatch(code, /\$\{\w+(\^|,|@[A-Za-z])|\bmapfile\b|\breadarray\b|\bdeclare -[An]|&>>|\|&|\bwait -n\b/);
      // An empty array counts as unset there: "${name[@]}" of an array that starts empty must stand behind ${name[@]+…}.
      for (const [, array] of code.matchAll(/^\s*(\w+)=\(\)$/gm)) {
        const uses = [...code.matchAll(new RegExp(`(.{0,20})"\\$\\{${array}\\[@\\]\\}"`, 'g'))];
        for (const [use, before] of uses) assert.ok(before?.endsWith(`\${${array}[@]+`), use);
      }
    });
  }
});
