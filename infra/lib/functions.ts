/** The functions of `handlers.json`: one binary, and for each function only the permissions and variables that it uses. */

import { Duration, Validations } from 'aws-cdk-lib';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { ApplicationLogLevel, Architecture, Code, Function, LoggingFormat, RecursiveLoop, Runtime, SystemLogLevel, Tracing } from 'aws-cdk-lib/aws-lambda';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import type { Construct } from 'constructs';
import { addEventsSource } from './bus.ts';
import { environment } from './environment.ts';
import { grant } from './grants.ts';
import type { Handler } from './handlers.ts';
import { logGroup } from './logs.ts';
import { pascal } from './names.ts';
import { suppress } from './rules.ts';
import type { Settings } from './settings.ts';
import type { Resources } from './resources.ts';

export type Functions = ReadonlyMap<string, Function>;

export function addFunctions(scope: Construct, handlers: readonly Handler[], resources: Resources, settings: Settings): Functions {
  if (settings.placeholder) {
    Validations.of(scope).addWarning('placeholder', 'bootstrap is not built: this template cannot be deployed (see scripts/deploy)');
  }
  const code = Code.fromAsset(settings.bootstrap);
  return new Map(handlers.map((handler) => [handler.name, addFunction(scope, handler, code, resources, settings)]));
}

export function named(functions: Functions, name: string): Function {
  const found = functions.get(name);
  if (found === undefined) throw new Error(`handlers.json must have the function ${name}`);
  return found;
}

/** What Lambda must leave unreserved in an account. */
const UNRESERVED = 100;

/**
 * The concurrency reserved for a function, which is also its limit. Requests that wait must leave room for the workers
 * and the states, and the sweep, which rescues what got stuck, must never be without. An account that has little more
 * than Lambda leaves unreserved gets no reservation.
 */
function reservation({ trigger }: Handler, { accountConcurrency = 0 }: Settings): number | undefined {
  if (accountConcurrency < 2 * UNRESERVED) return undefined;
  switch (trigger.type) {
    case 'http':
      return Math.floor(accountConcurrency / 2);
    case 'schedule':
      return 2;
    case 'queue':
    case 'workflow':
    case 'events':
    case 'link':
      return undefined;
  }
}

function addFunction(scope: Construct, handler: Handler, code: Code, resources: Resources, settings: Settings): Function {
  const id = pascal(handler.name);
  const logs = logGroup(scope, `${id}Logs`, handler.name, settings);
  const grants = handler.uses.map((permission) => grant(permission, resources));
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
  suppress(role, ...grants.flatMap(({ suppressions }) => suppressions));
  if (settings.tracing) {
    suppress(role, { finding: 'AwsSolutions-IAM5[Resource::*]', reason: 'X-Ray actions support no resources.' });
  }
  const reserved = reservation(handler, settings);
  const fn = new Function(scope, `${id}Function`, {
    description: `ephemeral: ${handler.name}`,
    runtime: Runtime.PROVIDED_AL2023,
    architecture: settings.architecture === 'arm64' ? Architecture.ARM_64 : Architecture.X86_64,
    handler: handler.name,
    code,
    role,
    logGroup: logs,
    memorySize: handler.memoryMiB,
    ...(reserved !== undefined && { reservedConcurrentExecutions: reserved }),
    // Lambda's own lines about each invocation cost more than the functions'; its metrics have the same figures. The
    // functions print JSON themselves, and filter it by their own setting.
    loggingFormat: LoggingFormat.JSON,
    systemLogLevelV2: SystemLogLevel.WARN,
    applicationLogLevelV2: ApplicationLogLevel.TRACE,
    timeout: Duration.seconds(handler.timeoutSeconds),
    tracing: settings.tracing ? Tracing.ACTIVE : Tracing.DISABLED,
    environment: environment(handler, resources, settings),
    // A worker passes a long job to the next invocation by a message to its own queue. Lambda's loop detection would
    // drop that message after 16 invocations (https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html).
    ...(handler.trigger.type === 'queue' && { recursiveLoop: RecursiveLoop.ALLOW }),
  });
  // A failed sweep is not repeated: the next one starts a minute later.
  if (handler.trigger.type === 'schedule') fn.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.minutes(1) });
  if (handler.trigger.type === 'events') addEventsSource(fn, handler.trigger.batchSize, resources);
  if (handler.trigger.type === 'queue') {
    fn.addEventSource(
      new SqsEventSource(resources.queues[handler.trigger.lane].queue, {
        batchSize: handler.trigger.batchSize,
        reportBatchItemFailures: true,
        // Without a limit, throttled batches would count as failed receives of their messages.
        maxConcurrency: settings.laneConcurrency,
      }),
    );
  }
  return fn;
}
