/** The state machine: the file that local mode interprets too, with the functions' ARNs in its placeholders. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Aws, Stack } from 'aws-cdk-lib';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { DefinitionBody, LogLevel, StateMachine, StateMachineType } from 'aws-cdk-lib/aws-stepfunctions';
import type { Construct } from 'constructs';
import type { Functions } from './functions.ts';
import type { Handler } from './handlers.ts';
import { logGroup, VENDED } from './logs.ts';
import { suppress } from './rules.ts';
import type { Settings } from './settings.ts';

const DEFINITION = join(import.meta.dirname, '..', '..', 'statemachine', 'session.asl.json');

/** The integration that waits for a task token. The file names it in the partition `aws`; other partitions differ. */
const CALLBACK = { placeholder: 'InvokeWithToken', resource: 'states:::lambda:invoke.waitForTaskToken' } as const;

export function stateMachineName(scope: Construct): string {
  return `${Stack.of(scope).stackName}-session`;
}

/** Built from the name, because the machine's definition refers to functions that refer to the machine. */
export function stateMachineArn(scope: Construct): string {
  return Stack.of(scope).formatArn({
    service: 'states',
    resource: `stateMachine:${stateMachineName(scope)}`,
  });
}

export function addWorkflow(
  scope: Construct,
  handlers: readonly Handler[],
  functions: Functions,
  settings: Settings,
): StateMachine {
  const arns = substitutions(handlers, functions);
  const role = new Role(scope, 'SessionMachineRole', {
    description: 'Calls the functions of the states of a session',
    assumedBy: new ServicePrincipal('states.amazonaws.com'),
    inlinePolicies: {
      Invoke: new PolicyDocument({
        statements: [new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: Object.values(arns) })],
      }),
    },
  });
  const machine = new StateMachine(scope, 'SessionMachine', {
    stateMachineName: stateMachineName(scope),
    stateMachineType: StateMachineType.STANDARD,
    definitionBody: DefinitionBody.fromString(definition()),
    definitionSubstitutions: { ...arns, [CALLBACK.placeholder]: `arn:${Aws.PARTITION}:${CALLBACK.resource}` },
    role,
    tracingEnabled: settings.tracing,
    logs: {
      destination: logGroup(scope, 'SessionMachineLogs', 'session', settings, VENDED),
      // The history of an execution has every step for 90 days, and its log would cost half as much as the steps.
      level: LogLevel.ERROR,
      // The data contains task tokens, which resume an execution.
      includeExecutionData: false,
    },
  });
  suppress(role, {
    finding: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'The actions for log delivery and X-Ray support no resources.',
  });
  suppress(machine, { finding: 'AwsSolutions-SF1', reason: 'The history of an execution has every step; only failures are logged.' });
  if (!settings.tracing) {
    suppress(machine, { finding: 'AwsSolutions-SF2', reason: 'The history of an execution has every step; the context tracing turns X-Ray on.' });
  }
  return machine;
}

/** Without white space, because the length of a definition is limited. */
function definition(): string {
  const text = JSON.stringify(JSON.parse(readFileSync(DEFINITION, 'utf8')));
  return text.replaceAll(`"arn:aws:${CALLBACK.resource}"`, `"\${${CALLBACK.placeholder}}"`);
}

function substitutions(handlers: readonly Handler[], functions: Functions): Record<string, string> {
  const entries = handlers.flatMap(({ name, trigger }) => {
    const fn = functions.get(name);
    return trigger.type === 'workflow' && fn ? [[trigger.placeholder, fn.functionArn] as const] : [];
  });
  return Object.fromEntries(entries);
}
