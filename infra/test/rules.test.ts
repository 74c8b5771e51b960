import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { IConstruct } from 'constructs';
import { synthesize } from './deployment.ts';

/** Together these deployments contain every resource that a deployment can have. */
const DEPLOYMENTS: Record<string, Record<string, string>> = {
  'with default settings': {},
  'with private networks, warm tasks and traces': { network: 'private', warm: '3', tracing: 'true' },
  'over connections, with terminals by ECS Exec': { terminals: 'true' },
  'over ECS Exec': { transport: 'exec' },
  'with an address for alarms and a budget': { alarmEmail: 'ops@example.com', budgetUsd: '100', egressPorts: 'all' },
  'with a NAT and an external issuer': { network: 'nat', jwtIssuer: 'https://i.example', jwtAudience: 'a' },
  'with instances behind a NAT': { capacity: 'ec2', network: 'nat', terminals: 'true' },
  'with instances in private networks': { capacity: 'ec2', network: 'private' },
  'with the console': { console: 'true' },
  'with the console of an external issuer': { console: 'true', jwtIssuer: 'https://i.example', jwtAudience: 'a', consoleClientId: 'c' },
  'with deletion protection, metrics, flow logs and alarm actions': {
    deletionProtection: 'true',
    containerInsights: 'true',
    flowLogs: 'true',
    alarmTopicArn: 'arn:aws:sns:us-east-1:111122223333:alarms',
    shellImage: '111122223333.dkr.ecr.us-east-1.amazonaws.com/shells:1',
  },
};

describe('the AWS Solutions rules', () => {
  for (const [name, context] of Object.entries(DEPLOYMENTS)) {
    it(`find nothing in a deployment ${name} that is not suppressed`, () => {
      const { app } = synthesize(context);
      const { violations } = new AwsSolutionsChecks(app).validateScope(app);
      const found = violations.flatMap(({ ruleName, violatingResources }) =>
        violatingResources.map(({ constructPath }) => `${ruleName} at ${constructPath}`),
      );
      assert.deepEqual(found, []);
    });

    it(`are suppressed in a deployment ${name} only where they find something`, () => {
      const { app } = synthesize(context);
      const suppressed = suppressions(app);
      const findings = findingsWithoutSuppressions(app);
      for (const { path, finding } of suppressed) {
        assert.ok(
          findings.some((found) => found.finding === finding && found.path.startsWith(path)),
          `${path} suppresses ${finding}, which does not occur`,
        );
      }
    });
  }
});

interface Finding {
  readonly path: string;
  readonly finding: string;
}

function suppressions(app: IConstruct): Finding[] {
  return app.node.findAll().flatMap((construct) =>
    construct.node.metadata
      .filter(({ type }) => type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY)
      .flatMap(({ data }) => Object.entries(data as Record<string, string>))
      .map(([id, reason]) => {
        assert.ok(reason.length > 20, `${construct.node.path}: ${id} needs a reason`);
        return { path: construct.node.path, finding: id.replace(/^annotation::/i, '') };
      })
      // The CDK adds suppressions of its own.
      .filter(({ finding }) => finding.startsWith('AwsSolutions-')),
  );
}

function findingsWithoutSuppressions(app: IConstruct): Finding[] {
  // The checks call this method before they report a finding.
  const checks = new AwsSolutionsChecks(app);
  Object.defineProperty(checks, 'isAcknowledged', { value: () => false });
  const { violations } = checks.validateScope(app);
  return violations.flatMap(({ ruleName, violatingResources }) =>
    violatingResources.map(({ constructPath }) => ({ path: constructPath ?? '', finding: ruleName })),
  );
}
