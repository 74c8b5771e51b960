/** Synthesizes the template for given settings, and queries its resources. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import flags from 'aws-cdk-lib/recommended-feature-flags.json' with { type: 'json' };
import { Template } from 'aws-cdk-lib/assertions';
import { PLACEHOLDER, readSettings } from '../lib/settings.ts';
import { EphemeralStack } from '../lib/stack.ts';

export interface Statement {
  readonly Effect: 'Allow' | 'Deny';
  readonly Action?: string | string[];
  readonly NotAction?: string | string[];
  readonly Resource: unknown;
  readonly Condition?: Record<string, Record<string, unknown>>;
}

export interface Resource {
  readonly Type: string;
  // Each type of resource has other properties.
  readonly Properties: Record<string, any>;
}

const assemblies = mkdtempSync(join(tmpdir(), 'ephemeral-infra-'));
process.on('exit', () => rmSync(assemblies, { recursive: true, force: true }));

export function synthesize(context: Record<string, string> = {}) {
  const app = new App({ context: flags, outdir: mkdtempSync(join(assemblies, 'cdk.out-')) });
  const stack = new EphemeralStack(app, 'ephemeral', readSettings((name) => ({ bootstrap: PLACEHOLDER, architecture: 'arm64', ...context })[name]));
  const template = Template.fromStack(stack).toJSON();
  return { app, stack, template, resources: template['Resources'] as Record<string, Resource> };
}

export function ofType(resources: Record<string, Resource>, type: string): [string, Resource][] {
  return Object.entries(resources).filter(([, resource]) => resource.Type === type);
}

export function list<T>(value: T | T[] | undefined): T[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

/** All statements of a role: of its inline policies and of attached ones. */
export function statements(resources: Record<string, Resource>, role: string): Statement[] {
  const own = list(resources[role]?.Properties['Policies']).map(({ PolicyDocument }) => PolicyDocument);
  const attached = ofType(resources, 'AWS::IAM::Policy')
    .filter(([, { Properties }]) => list(Properties['Roles']).some(({ Ref }) => Ref === role))
    .map(([, { Properties }]) => Properties['PolicyDocument']);
  return [...own, ...attached].flatMap((document) => document.Statement as Statement[]);
}

/** The function with this `_HANDLER`, and the logical id of its role. */
export function functionNamed(resources: Record<string, Resource>, name: string): { fn: Resource; role: string } {
  const found = ofType(resources, 'AWS::Lambda::Function').find(([, { Properties }]) => Properties['Handler'] === name);
  if (found === undefined) throw new Error(`no function ${name}`);
  return { fn: found[1], role: found[1].Properties['Role']['Fn::GetAtt'][0] };
}
