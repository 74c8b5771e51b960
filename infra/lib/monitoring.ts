/** Alarms, which docs/operations.md explains, and a dashboard. */

import { Duration, Stack } from 'aws-cdk-lib';
import type { HttpStage } from 'aws-cdk-lib/aws-apigatewayv2';
import {
  Alarm,
  AlarmStatusWidget,
  ComparisonOperator,
  Dashboard,
  GraphWidget,
  Metric,
  TreatMissingData,
  type IMetric,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { CfnBudget } from 'aws-cdk-lib/aws-budgets';
import type { Rule } from 'aws-cdk-lib/aws-events';
import { ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { FilterPattern } from 'aws-cdk-lib/aws-logs';
import { Topic, type ITopic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import type { Construct } from 'constructs';
import { named, type Functions } from './functions.ts';
import { LANES, type Handler, type Lane } from './handlers.ts';
import { pascal } from './names.ts';
import type { Settings } from './settings.ts';
import type { Resources } from './resources.ts';

export interface Monitored extends Resources {
  readonly handlers: readonly Handler[];
  readonly functions: Functions;
  readonly machine: StateMachine;
  readonly stage: HttpStage;
  readonly rules: Readonly<Record<string, Rule>>;
}

const FIVE_MINUTES = Duration.minutes(5);

/** The age of the oldest message at which the alarm fires. A delayed webhook delivery may wait for SQS's longest delay. */
const MAX_AGE: Readonly<Record<Lane, Duration>> = {
  control: Duration.minutes(15),
  exec: Duration.minutes(15),
  'task-events': Duration.minutes(15),
  webhooks: Duration.minutes(45),
};

export function addMonitoring(scope: Construct, monitored: Monitored, settings: Settings): void {
  const topic = alarmTopic(scope, settings);
  if (settings.budgetUsd !== undefined && settings.alarmEmail !== undefined) addBudget(scope, settings.budgetUsd, settings.alarmEmail);
  const alarms = [
    handlersAlarm(scope, monitored),
    ...ruleAlarms(scope, monitored),
    tableAlarm(scope, monitored),
    ...queueAlarms(scope, monitored),
    ...functionAlarms(scope, monitored),
    ...executionAlarms(scope, monitored),
    sweepAlarm(scope, monitored),
    apiAlarm(scope, monitored),
    ...instanceAlarms(scope, monitored),
  ];
  if (topic !== undefined) {
    const action = new SnsAction(topic);
    for (const alarm of alarms) alarm.addAlarmAction(action);
  }
  addDashboard(scope, monitored, alarms);
}

/** The topic that receives the alarms: a given one, or one with the given address. */
function alarmTopic(scope: Construct, { alarmTopicArn, alarmEmail }: Settings): ITopic | undefined {
  if (alarmTopicArn !== undefined) return Topic.fromTopicArn(scope, 'AlarmTopic', alarmTopicArn);
  if (alarmEmail === undefined) return undefined;
  const topic = new Topic(scope, 'Alarms', { enforceSSL: true });
  topic.grantPublish(new ServicePrincipal('cloudwatch.amazonaws.com', { conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(scope).account } } }));
  topic.addSubscription(new EmailSubscription(alarmEmail));
  return topic;
}

/** Warns at 80 % of the month's actual cost, and when the forecast exceeds the budget. A budget stops nothing. */
function addBudget(scope: Construct, usd: number, address: string): void {
  const warn = (notificationType: string, threshold: number) => ({
    notification: { notificationType, comparisonOperator: 'GREATER_THAN', threshold, thresholdType: 'PERCENTAGE' },
    subscribers: [{ subscriptionType: 'EMAIL', address }],
  });
  new CfnBudget(scope, 'Budget', {
    budget: { budgetType: 'COST', timeUnit: 'MONTHLY', budgetLimit: { amount: usd, unit: 'USD' } },
    notificationsWithSubscribers: [warn('ACTUAL', 80), warn('ACTUAL', 100), warn('FORECASTED', 100)],
  });
}

/**
 * Failures that a handler logged. A worker of a queue reports a failed message in its answer and succeeds itself, so
 * its failures are not among the errors of its function.
 */
function handlersAlarm(scope: Construct, { functions, handlers }: Monitored): Alarm {
  const metric = { metricNamespace: Stack.of(scope).stackName, metricName: 'HandlerFailures' };
  for (const { name } of handlers) {
    named(functions, name).logGroup.addMetricFilter(`${pascal(name)}Failures`, {
      ...metric,
      metricValue: '1',
      filterPattern: FilterPattern.any(
        FilterPattern.stringValue('$.level', '=', 'ERROR'),
        FilterPattern.stringValue('$.code', '=', 'Backend'),
        FilterPattern.stringValue('$.code', '=', 'BadInput'),
      ),
    });
  }
  return alarm(scope, {
    name: 'handlers-failed',
    metric: new Metric({ namespace: metric.metricNamespace, metricName: metric.metricName, statistic: 'Sum', period: FIVE_MINUTES }),
    atLeast: 10,
    ofThree: 2,
  });
}

/** Events that a rule could not hand to its target. */
function ruleAlarms(scope: Construct, { rules }: Monitored): Alarm[] {
  return Object.entries(rules).map(([name, rule]) => {
    const metric = new Metric({
      namespace: 'AWS/Events',
      metricName: 'FailedInvocations',
      dimensionsMap: { RuleName: rule.ruleName },
      statistic: 'Sum',
      period: FIVE_MINUTES,
    });
    return alarm(scope, { name: `${name}-rule`, metric, atLeast: 1 });
  });
}

/** Writes that the table refused because of its rate. The SDK repeats them, so a few do no harm. */
function tableAlarm(scope: Construct, { table }: Monitored): Alarm {
  const metric = table.metric('WriteThrottleEvents', { statistic: 'Sum', period: FIVE_MINUTES });
  return alarm(scope, { name: 'table-throttled', metric, atLeast: 100, ofThree: 2 });
}

interface Threshold {
  readonly name: string;
  readonly metric: IMetric;
  readonly atLeast: number;
  /** How many of three periods must breach; absent: one period is enough. */
  readonly ofThree?: number;
}

function alarm(scope: Construct, { name, metric, atLeast, ofThree }: Threshold): Alarm {
  return new Alarm(scope, `${pascal(name)}Alarm`, {
    alarmName: `${Stack.of(scope).stackName}-${name}`,
    alarmDescription: `See ${name} in docs/operations.md`,
    metric,
    threshold: atLeast,
    comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
    evaluationPeriods: ofThree === undefined ? 1 : 3,
    ...(ofThree !== undefined && { datapointsToAlarm: ofThree }),
    treatMissingData: TreatMissingData.NOT_BREACHING,
  });
}

function queueAlarms(scope: Construct, { queues }: Monitored): Alarm[] {
  return LANES.flatMap((lane) => [
    alarm(scope, {
      name: `${lane}-dead-letters`,
      metric: queues[lane].deadLetters.metricApproximateNumberOfMessagesVisible({ period: FIVE_MINUTES }),
      atLeast: 1,
    }),
    alarm(scope, {
      name: `${lane}-late`,
      metric: queues[lane].queue.metricApproximateAgeOfOldestMessage({ period: FIVE_MINUTES }),
      atLeast: MAX_AGE[lane].toSeconds(),
    }),
  ]);
}

function functionAlarms(scope: Construct, { functions }: Monitored): Alarm[] {
  const errors = [...functions].map(([name, fn]) =>
    alarm(scope, { name: `${name}-errors`, metric: fn.metricErrors({ period: FIVE_MINUTES }), atLeast: 5, ofThree: 2 }),
  );
  return [...errors, alarm(scope, { name: 'throttles', metric: throttles(), atLeast: 1, ofThree: 2 })];
}

/** Throttles of all functions in the account and region, which share one concurrency limit. */
function throttles(): Metric {
  return new Metric({ namespace: 'AWS/Lambda', metricName: 'Throttles', statistic: 'Sum', period: FIVE_MINUTES });
}

function executionAlarms(scope: Construct, { machine }: Monitored): Alarm[] {
  const metrics = {
    'executions-failed': machine.metricFailed({ period: FIVE_MINUTES }),
    'executions-timed-out': machine.metricTimedOut({ period: FIVE_MINUTES }),
    'executions-aborted': machine.metricAborted({ period: FIVE_MINUTES }),
  };
  return Object.entries(metrics).map(([name, metric]) => alarm(scope, { name, metric, atLeast: 1 }));
}

function sweepAlarm(scope: Construct, { functions }: Monitored): Alarm {
  const name = 'sweep-not-run';
  return new Alarm(scope, `${pascal(name)}Alarm`, {
    alarmName: `${Stack.of(scope).stackName}-${name}`,
    alarmDescription: `See ${name} in docs/operations.md`,
    metric: named(functions, 'sweep').metricInvocations({ period: FIVE_MINUTES }),
    threshold: 1,
    comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
    evaluationPeriods: 1,
    treatMissingData: TreatMissingData.BREACHING,
  });
}

function apiAlarm(scope: Construct, { stage }: Monitored): Alarm {
  return alarm(scope, {
    name: 'api-5xx',
    metric: stage.metricServerError({ period: FIVE_MINUTES, statistic: 'Sum' }),
    atLeast: 5,
    ofThree: 2,
  });
}

/** Tasks have waited for a quarter of an hour, and no instance came for them: a group is full, or a quota is. */
function instanceAlarms(scope: Construct, { cluster, instances }: Monitored): Alarm[] {
  const providers = instances ? { 'instances-full': instances.onDemand, 'spot-instances-full': instances.spot } : {};
  return Object.entries(providers).map(([name, provider]) => {
    const metric = new Metric({
      namespace: 'AWS/ECS/ManagedScaling',
      metricName: 'CapacityProviderReservation',
      dimensionsMap: { ClusterName: cluster.ref, CapacityProviderName: provider.ref },
      statistic: 'Minimum',
      period: FIVE_MINUTES,
    });
    return alarm(scope, { name, metric, atLeast: 101, ofThree: 3 });
  });
}

function addDashboard(scope: Construct, monitored: Monitored, alarms: Alarm[]): void {
  const { stage, machine, table, queues, functions } = monitored;
  const each = (metric: (fn: NonNullable<ReturnType<Functions['get']>>) => Metric) =>
    [...functions].map(([name, fn]) => metric(fn).with({ label: name }));
  const lanes = (metric: (lane: Lane) => Metric) => LANES.map((lane) => metric(lane).with({ label: lane }));
  new Dashboard(scope, 'Dashboard', {
    dashboardName: Stack.of(scope).stackName,
    widgets: [
      [new AlarmStatusWidget({ title: 'Alarms', width: 24, alarms })],
      [
        graph('Requests', [stage.metricCount(), stage.metricClientError(), stage.metricServerError()]),
        graph('Latency', ['p50', 'p99'].map((statistic) => stage.metricLatency({ statistic }))),
        graph('Sessions', [machine.metricStarted(), machine.metricSucceeded(), machine.metricFailed(), machine.metricTimedOut()]),
      ],
      [
        graph('Messages waiting', lanes((lane) => queues[lane].queue.metricApproximateNumberOfMessagesVisible())),
        graph('Oldest message', lanes((lane) => queues[lane].queue.metricApproximateAgeOfOldestMessage())),
        graph('Dead letters', lanes((lane) => queues[lane].deadLetters.metricApproximateNumberOfMessagesVisible())),
      ],
      [
        graph('Invocations', each((fn) => fn.metricInvocations())),
        graph('Errors', [...each((fn) => fn.metricErrors()), throttles()]),
        graph('Duration, p99', each((fn) => fn.metricDuration({ statistic: 'p99' }))),
      ],
      [
        graph('Table: capacity used', [table.metricConsumedReadCapacityUnits(), table.metricConsumedWriteCapacityUnits()]),
        graph('Table: transaction conflicts', [table.metric('TransactionConflict', { statistic: 'Sum' })]),
        graph('Table: throttled', [table.metric('ReadThrottleEvents', { statistic: 'Sum' }), table.metric('WriteThrottleEvents', { statistic: 'Sum' })]),
      ],
    ],
  });
}

function graph(title: string, left: IMetric[]): GraphWidget {
  return new GraphWidget({ title, left, width: 8 });
}
