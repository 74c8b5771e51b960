/** The functions of `handlers.json`: one binary, and for each only the rights and variables of what it uses. */

import { Duration, Validations } from 'aws-cdk-lib';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function, RecursiveLoop, Runtime, Tracing } from 'aws-cdk-lib/aws-lambda';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import type { Construct } from 'constructs';
import { environment } from './environment.ts';
import { grant } from './grants.ts';
import type { Handler } from './handlers.ts';
import { logGroup } from './logs.ts';
import { pascal } from './names.ts';
import { excuse } from './rules.ts';
import type { Settings } from './settings.ts';
import type { World } from './world.ts';

export type Functions = ReadonlyMap<string, Function>;

export function addFunctions(scope: Construct, handlers: readonly Handler[], world: World, settings: Settings): Functions {
  if (settings.placeholder) {
    Validations.of(scope).addWarning('placeholder', 'bootstrap is not built: this is to look at, not to deploy (see scripts/deploy)');
  }
  const code = Code.fromAsset(settings.bootstrap);
  return new Map(handlers.map((handler) => [handler.name, addFunction(scope, handler, code, world, settings)]));
}

export function named(functions: Functions, name: string): Function {
  const found = functions.get(name);
  if (found === undefined) throw new Error(`handlers.json must have the function ${name}`);
  return found;
}

function addFunction(scope: Construct, handler: Handler, code: Code, world: World, settings: Settings): Function {
  const id = pascal(handler.name);
  const logs = logGroup(scope, `${id}Logs`, handler.name, settings);
  const grants = handler.uses.map((use) => grant(use, world));
  const role = new Role(scope, `${id}Role`, {
    assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
    inlinePolicies: {
      Logs: new PolicyDocument({
        statements: [
          new PolicyStatement({ actions: ['logs:CreateLogStream', 'logs:PutLogEvents'], resources: [logs.logGroupArn] }),
        ],
      }),
      Uses: new PolicyDocument({ statements: grants.flatMap(({ statements }) => statements) }),
    },
  });
  excuse(role, ...grants.flatMap(({ reasons }) => reasons));
  if (settings.tracing) {
    excuse(role, { finding: 'AwsSolutions-IAM5[Resource::*]', reason: 'X-Ray has no resources.' });
  }
  const fn = new Function(scope, `${id}Function`, {
    description: `ephemeral: ${handler.name}`,
    runtime: Runtime.PROVIDED_AL2023,
    architecture: settings.architecture === 'arm64' ? Architecture.ARM_64 : Architecture.X86_64,
    handler: handler.name,
    code,
    role,
    logGroup: logs,
    memorySize: handler.memoryMiB,
    timeout: Duration.seconds(handler.timeoutSeconds),
    tracing: settings.tracing ? Tracing.ACTIVE : Tracing.DISABLED,
    environment: environment(handler, world, settings),
    // A long job is handed on by a message to the queue that it came from. Lambda would take that for a loop and
    // end it after 16 rounds (https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html).
    ...(handler.trigger.type === 'queue' && { recursiveLoop: RecursiveLoop.ALLOW }),
  });
  // The next one comes in a minute anyway.
  if (handler.trigger.type === 'schedule') fn.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.minutes(1) });
  if (handler.trigger.type === 'queue') {
    fn.addEventSource(
      new SqsEventSource(world.queues[handler.trigger.lane].queue, {
        batchSize: handler.trigger.batchSize,
        reportBatchItemFailures: true,
        // Beyond it messages wait in the queue; bounced off the account's limit they would count as tried.
        maxConcurrency: settings.laneConcurrency,
      }),
    );
  }
  return fn;
}
