import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readHandlers } from '../lib/handlers.ts';
import { list, ofType, statements, synthesize } from './deployment.ts';

const validate = createRequire(import.meta.url)('asl-validator') as (definition: unknown) => {
  isValid: boolean;
  errors: { 'Error code': string; Message: string }[];
};

const source = readFileSync(join(import.meta.dirname, '..', '..', 'statemachine', 'session.asl.json'), 'utf8');
const { resources } = synthesize();
const machine = ofType(resources, 'AWS::StepFunctions::StateMachine')[0]?.[1].Properties ?? {};

const { InvokeWithToken, ...functions } = machine['DefinitionSubstitutions'];

describe('the state machine', () => {
  it('is the file that local mode runs too', () => {
    const deployed = machine['DefinitionString'].replaceAll('${InvokeWithToken}', 'arn:aws:states:::lambda:invoke.waitForTaskToken');
    assert.deepEqual(JSON.parse(deployed), JSON.parse(source));
    assert.equal(machine['StateMachineType'], 'STANDARD');
  });

  it('has a function for each placeholder, and no other', () => {
    const placeholders = new Set([...source.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name ?? ''));
    assert.deepEqual(Object.keys(functions).sort(), [...placeholders].sort());
  });

  it('calls Step Functions in the partition of its account', () => {
    assert.doesNotMatch(machine['DefinitionString'], /arn:aws:/);
    assert.deepEqual(InvokeWithToken, { 'Fn::Join': ['', ['arn:', { Ref: 'AWS::Partition' }, ':states:::lambda:invoke.waitForTaskToken']] });
  });

  it('is valid with its placeholders replaced', () => {
    const arn = (_: string, name: string) => `arn:aws:lambda:us-east-1:111122223333:function:${name}`;
    const { isValid, errors } = validate(JSON.parse(source.replace(/\$\{(\w+)\}/g, arn)));
    assert.ok(isValid, JSON.stringify(errors));
  });

  it('may call only its own functions', () => {
    const role = machine['RoleArn']['Fn::GetAtt'][0];
    const all = statements(resources, role);
    const invoke = all.filter(({ Action }) => list(Action).includes('lambda:InvokeFunction'));
    assert.equal(invoke.length, 1);
    assert.deepEqual(
      list(invoke[0]?.Resource).map((arn) => JSON.stringify(arn)).sort(),
      Object.values(functions).map((arn) => JSON.stringify(arn)).sort(),
    );
    assert.equal(list(invoke[0]?.Resource).length, readHandlers({ bus: true, transport: 'exec' }).filter(({ trigger }) => trigger.type === 'workflow').length);
    const others = all.flatMap(({ Action }) => list(Action)).filter((action) => !/^(lambda:InvokeFunction$|logs:|xray:)/.test(action));
    assert.deepEqual(others, []);
  });

  it('has the name that the functions are configured with', () => {
    const [, { Properties }] = ofType(resources, 'AWS::Lambda::Function').find(([id]) => id.startsWith('Control')) ?? assert.fail();
    const arn = JSON.stringify(Properties['Environment'].Variables['EPHEMERAL_STATE_MACHINE']);
    assert.ok(arn.includes(`:stateMachine:${machine['StateMachineName']}"`), arn);
  });
});
