/** The account: who is signed in, and whether its quotas suffice. */

import { EC2Client, paginateDescribeVpcs } from '@aws-sdk/client-ec2';
import { GetAccountSettingsCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { GetServiceQuotaCommand, ServiceQuotasClient } from '@aws-sdk/client-service-quotas';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import type { Capacity } from '../settings.ts';

export interface Identity {
  readonly account: string;
  readonly region: string;
}

/** A quota of the account in the region. */
export interface Quota {
  readonly name: string;
  readonly service: string;
  readonly code: string;
  /** The value that a deployment should have. */
  readonly wanted: number;
  /** What the present value means. */
  readonly meaning: (value: number) => string;
}

const SHELL_VCPU = 0.25;

export const CONCURRENCY: Quota = {
  name: 'Lambda concurrent executions',
  service: 'lambda',
  code: 'L-B99A9384',
  wanted: 1_000,
  meaning: (value) => `${value} requests, messages and waiting clients at one moment`,
};

export const VCPUS: Quota = {
  name: 'Fargate On-Demand vCPUs',
  service: 'fargate',
  code: 'L-3032A538',
  wanted: 64,
  meaning: (value) => `${Math.floor(value / SHELL_VCPU)} shells of ${SHELL_VCPU} vCPU`,
};

/** Instances of EC2 in place of Fargate take the quota of their families. */
export const INSTANCE_VCPUS: Quota = {
  name: 'EC2 On-Demand Standard vCPUs',
  service: 'ec2',
  code: 'L-1216C47A',
  wanted: 64,
  meaning: (value) => `${value} instances of size medium, or what is left of them beside others of the account`,
};

export const SPOT_INSTANCE_VCPUS: Quota = {
  ...INSTANCE_VCPUS,
  name: 'EC2 Spot Standard vCPUs',
  code: 'L-34B43A08',
};

export const VPCS: Quota = {
  name: 'VPCs per region',
  service: 'vpc',
  code: 'L-F678F1CE',
  wanted: 5,
  meaning: (value) => `${value} VPCs`,
};

/** Throws an error that says what to do if the credentials or the region are missing or refused. */
export async function identity(): Promise<Identity> {
  // The CDK reads this variable; the SDK for JavaScript does not.
  process.env['AWS_REGION'] ??= process.env['AWS_DEFAULT_REGION'];
  const client = new STSClient({});
  const region = await client.config.region().catch(() => undefined);
  if (region === undefined || region === '') throw new Error("no AWS region is configured. hint: run 'aws configure' or set AWS_REGION");
  try {
    const { Account } = await client.send(new GetCallerIdentityCommand({}));
    return { account: Account ?? '', region };
  } catch (error) {
    throw new Error(`AWS does not accept the credentials: ${message(error)}. hint: sign in again ('aws sso login'), or set AWS_PROFILE`);
  }
}

/** The quotas of Service Quotas that limit a deployment. */
export function quotasOf(capacity: Capacity): Quota[] {
  return [...(capacity === 'ec2' ? [INSTANCE_VCPUS, SPOT_INSTANCE_VCPUS] : [VCPUS]), VPCS];
}

/** The values of the quotas; a value that could not be read is an error. */
export async function readQuotas(capacity: Capacity): Promise<Map<Quota, number | Error>> {
  const reads: [Quota, Promise<number>][] = [[CONCURRENCY, concurrency()], ...quotasOf(capacity).map((quota) => [quota, serviceQuota(quota)] as [Quota, Promise<number>])];
  const settled = reads.map(async ([quota, value]) => [quota, await value.catch((error: unknown) => new Error(message(error)))] as const);
  return new Map(await Promise.all(settled));
}

/** How many VPCs the region has. */
export async function countVpcs(): Promise<number> {
  let count = 0;
  for await (const { Vpcs } of paginateDescribeVpcs({ client: new EC2Client({}) }, {})) {
    count += Vpcs?.length ?? 0;
  }
  return count;
}

/** Lambda itself tells the value in force; Service Quotas tells the default until an increase was requested. */
async function concurrency(): Promise<number> {
  const { AccountLimit } = await new LambdaClient({}).send(new GetAccountSettingsCommand({}));
  return AccountLimit?.ConcurrentExecutions ?? Number.NaN;
}

async function serviceQuota({ service, code }: Quota): Promise<number> {
  const { Quota } = await new ServiceQuotasClient({}).send(new GetServiceQuotaCommand({ ServiceCode: service, QuotaCode: code }));
  return Quota?.Value ?? Number.NaN;
}

/** One line for each quota, and under a low one the command that raises it. */
export function describeQuotas(values: ReadonlyMap<Quota, number | Error>, region: string): string[] {
  return [...values].flatMap(([quota, value]) => {
    if (value instanceof Error || Number.isNaN(value)) {
      return [`${quota.name}: unknown (${value instanceof Error ? value.message : 'no value'})`];
    }
    const line = `${quota.name}: ${value} (${quota.meaning(value)})`;
    return value >= quota.wanted ? [line] : [`${line}; ${quota.wanted} or more are recommended:`, `  ${raise(quota, region)}`];
  });
}

/** The command that requests the recommended value. */
export function raise({ service, code, wanted }: Quota, region: string): string {
  return `aws service-quotas request-service-quota-increase --region ${region} --service-code ${service} --quota-code ${code} --desired-value ${wanted}`;
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
