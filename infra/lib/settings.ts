/** The settings of a deployment, given as `-c name=value`; docs/operations.md lists them. */

import { existsSync } from 'node:fs';
import { arch } from 'node:os';
import { join } from 'node:path';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { DEFAULT_TYPES, largestShell, typeProblem, type InstanceSettings, type Isolation } from './instance-settings.ts';

export type Architecture = 'arm64' | 'x86_64';
export type Network = 'public' | 'private' | 'nat';
export type Capacity = 'fargate' | 'ec2';
/** How commands reach a shell: over ECS Exec, or over a connection that the shell's runner opens. */
export type Transport = 'exec' | 'link';

export interface ConsoleSettings {
  /** The client of the configured issuer; absent: one of the user pool that the stack creates. */
  readonly clientId: string | undefined;
  /** The scopes that the console asks for. */
  readonly scopes: readonly string[];
  /** The origin of the issuer's token endpoint, if it is not that of the issuer. */
  readonly tokenOrigin: string | undefined;
}

export interface Settings {
  readonly stackName: string;
  readonly architecture: Architecture;
  /** The directory with the file `bootstrap`. */
  readonly bootstrap: string;
  /** Whether `bootstrap` is the placeholder, because the binary is not built and no directory was given. */
  readonly placeholder: boolean;
  /** The shell's image, or the directory to build it from; absent: `ephemeral-shell` of the account's registry. */
  readonly shellImage: string | undefined;
  readonly network: Network;
  readonly transport: Transport;
  readonly capacity: Capacity;
  /** The instances that run shells; absent: Fargate does. */
  readonly instances: InstanceSettings | undefined;
  /** Whether shells have terminals, which need ECS Exec, its agent and its role in every task. */
  readonly terminals: boolean;
  /** The ports that shells may reach outside; absent: all. */
  readonly egressPorts: readonly number[] | undefined;
  readonly maxActiveSessions: number;
  /** How many sessions of all users there may be at once; absent: without limit. */
  readonly maxSessions: number | undefined;
  /** How many sessions a user may start in a minute; 0: without limit. */
  readonly startsPerMinute: number;
  readonly defaultTtlSeconds: number;
  readonly maxTtlSeconds: number;
  /** The largest shell that may be requested, in units of 1/1024 core and in MiB. */
  readonly maxCpu: number;
  readonly maxMemoryMiB: number;
  /** How long a session may live with its extensions; absent: as long as it is extended. */
  readonly maxLifetimeSeconds: number | undefined;
  readonly retentionDays: number;
  /** How long a task may wait for a place to run until its session ends; absent: eight minutes. */
  readonly placedWithinSeconds: number | undefined;
  /** Number of warm tasks. */
  readonly warm: number;
  readonly webhookAllowPrivate: boolean;
  /** The accepted issuer of tokens; absent: a user pool that the stack creates. */
  readonly jwt: { readonly issuer: string; readonly audience: string[] } | undefined;
  /** The scope that tokens must have. */
  readonly jwtScope: string | undefined;
  /** The console in the browser; absent: the deployment has none. */
  readonly console: ConsoleSettings | undefined;
  /** Requests per second, and the burst above that. */
  readonly throttle: { readonly rate: number; readonly burst: number };
  /** How many batches of one queue are handled concurrently. */
  readonly laneConcurrency: number;
  /** The account's limit of concurrent executions, of which some are reserved; absent: nothing is reserved. */
  readonly accountConcurrency: number | undefined;
  readonly logLevel: string;
  readonly logRetentionDays: RetentionDays;
  readonly flowLogs: boolean;
  readonly containerInsights: boolean;
  /** Whether functions and executions send traces to X-Ray. */
  readonly tracing: boolean;
  /** Whether all events of all users are put on an EventBridge bus. */
  readonly bus: boolean;
  /** Whether the table and the user pool outlive the stack. */
  readonly deletionProtection: boolean;
  /** The SNS topic that receives the alarms. */
  readonly alarmTopicArn: string | undefined;
  /** The address that receives the alarms and the warnings of the budget. */
  readonly alarmEmail: string | undefined;
  /** The monthly budget of the account. */
  readonly budgetUsd: number | undefined;
  /** The version of session-manager-plugin that the functions report; absent: the one that they were tested with. */
  readonly ssmClientVersion: string | undefined;
  /** Additional variables of every function; tests set the SDK's endpoints. */
  readonly environment: Readonly<Record<string, string>>;
  /** The values that the next deployment starts from, by name. */
  readonly recorded: Readonly<Record<string, string>>;
}

export const DEFAULT_NETWORK = 'public';

const INFRA = join(import.meta.dirname, '..');
export const PLACEHOLDER = join(INFRA, 'placeholder');

export const NAMES = [
  'stackName', 'architecture', 'bootstrap', 'shellImage', 'network', 'maxActiveSessions', 'defaultTtlSeconds',
  'maxTtlSeconds', 'retentionDays', 'warm', 'webhookAllowPrivate', 'jwtIssuer', 'jwtAudience', 'throttleRate',
  'throttleBurst', 'laneConcurrency', 'logLevel', 'logRetentionDays', 'flowLogs', 'containerInsights', 'tracing',
  'deletionProtection', 'alarmTopicArn', 'environment',
  'ssmClientVersion',
  'maxCpu', 'maxMemoryMiB', 'maxLifetimeSeconds', 'startsPerMinute', 'maxSessions',
  'egressPorts',
  'jwtScope',
  'accountConcurrency', 'bus',
  'alarmEmail', 'budgetUsd',
  'transport', 'terminals',
  'capacity', 'isolation', 'instanceType', 'minInstances', 'maxInstances', 'placedWithinSeconds',
  'console', 'consoleClientId', 'consoleScopes', 'consoleTokenOrigin',
] as const;
export type Name = (typeof NAMES)[number];

/** Reads the settings from the context. Throws an error that names the setting if a value is invalid. */
export function readSettings(context: (name: string) => unknown): Settings {
  const read = reader(context);
  const architecture = read.oneOf('architecture', ['arm64', 'x86_64'], machineArchitecture());
  const network = read.oneOf<Network>('network', [DEFAULT_NETWORK, 'private', 'nat']);
  const transport = read.oneOf<Transport>('transport', ['link', 'exec'], network === 'private' ? 'exec' : 'link');
  const capacity = read.oneOf<Capacity>('capacity', ['fargate', 'ec2']);
  if (capacity === 'ec2' && network === 'public') throw invalid('network', 'nat or private where capacity is ec2: a task on an instance gets no public address');
  const instances = capacity === 'ec2' ? instanceSettings(read, architecture) : undefined;
  const settings = {
    stackName: read.text('stackName') ?? 'ephemeral',
    architecture,
    ...bootstrap(read.text('bootstrap'), architecture),
    shellImage: read.text('shellImage'),
    network,
    transport,
    capacity,
    instances,
    terminals: read.flag('terminals', transport === 'exec'),
    egressPorts: ports(read.text('egressPorts')),
    maxActiveSessions: read.integer('maxActiveSessions', 5, 1, 1_000),
    maxSessions: read.optionalInteger('maxSessions', 1, 1_000_000),
    startsPerMinute: read.integer('startsPerMinute', 600, 0, 60_000),
    ...largest(read, instances?.largest ?? { cpu: 4_096, memoryMiB: 30_720 }),
    maxLifetimeSeconds: read.optionalInteger('maxLifetimeSeconds', 60, 31_536_000),
    defaultTtlSeconds: read.integer('defaultTtlSeconds', 3_600, 1, 28_800),
    maxTtlSeconds: read.integer('maxTtlSeconds', 28_800, 1, 28_800),
    retentionDays: read.integer('retentionDays', 7, 1, 365),
    placedWithinSeconds: read.optionalInteger('placedWithinSeconds', 1, 480),
    warm: read.integer('warm', 0, 0, 100),
    webhookAllowPrivate: read.flag('webhookAllowPrivate', false),
    jwt: jwt(read.text('jwtIssuer'), read.text('jwtAudience')),
    jwtScope: read.text('jwtScope'),
    console: read.flag('console', false) ? consoleSettings(read.text) : undefined,
    throttle: { rate: read.integer('throttleRate', 100, 1, 10_000), burst: read.integer('throttleBurst', 200, 1, 5_000) },
    laneConcurrency: read.integer('laneConcurrency', 50, 2, 1_000),
    accountConcurrency: read.optionalInteger('accountConcurrency', 1, 1_000_000),
    logLevel: read.text('logLevel') ?? 'info',
    logRetentionDays: read.integer('logRetentionDays', RetentionDays.TWO_WEEKS, 1, 3_653),
    flowLogs: read.flag('flowLogs', false),
    containerInsights: read.flag('containerInsights', false),
    tracing: read.flag('tracing', false),
    bus: read.flag('bus', true),
    deletionProtection: read.flag('deletionProtection', false),
    alarmTopicArn: read.text('alarmTopicArn'),
    alarmEmail: email(read.text('alarmEmail')),
    budgetUsd: read.optionalInteger('budgetUsd', 1, 1_000_000),
    ssmClientVersion: version(read.text('ssmClientVersion')),
    environment: environment(context('environment')),
    recorded: recorded(context, { architecture, network, transport }),
  };
  if (RetentionDays[settings.logRetentionDays] === undefined) throw invalid('logRetentionDays', 'a retention that CloudWatch supports: 1, 3, 5, 7, 14, 30, …');
  if (settings.console !== undefined && (settings.console.clientId === undefined) !== (settings.jwt === undefined)) {
    throw invalid('consoleClientId', 'set if console and jwtIssuer are, and absent for the user pool of the stack');
  }
  if (transport === 'link' && settings.network === 'private') throw invalid('transport', 'exec where the network is private, from which no WebSocket API can be reached');
  if (transport === 'exec' && !settings.terminals) throw invalid('terminals', 'true unless the transport is link');
  if (settings.budgetUsd !== undefined && settings.alarmEmail === undefined) throw invalid('budgetUsd', 'set together with alarmEmail');
  if (settings.alarmTopicArn !== undefined && settings.alarmEmail !== undefined) throw invalid('alarmEmail', 'absent where alarmTopicArn is set');
  if (settings.defaultTtlSeconds > settings.maxTtlSeconds) throw invalid('defaultTtlSeconds', 'at most maxTtlSeconds');
  return settings;
}

/** A larger shell than fits on an instance would wait for ever. */
function largest(read: Reader, most: InstanceSettings['largest']): Pick<Settings, 'maxCpu' | 'maxMemoryMiB'> {
  return { maxCpu: read.integer('maxCpu', most.cpu, 256, most.cpu), maxMemoryMiB: read.integer('maxMemoryMiB', most.memoryMiB, 512, most.memoryMiB) };
}

function instanceSettings(read: Reader, architecture: Architecture): InstanceSettings {
  const isolation = read.oneOf<Isolation>('isolation', ['session', 'shared']);
  const type = read.text('instanceType') ?? DEFAULT_TYPES[architecture];
  const problem = typeProblem(type, architecture, isolation);
  if (problem !== undefined) throw invalid('instanceType', problem);
  const max = read.integer('maxInstances', 10, 1, 1_000);
  return { type, isolation, min: read.integer('minInstances', 0, 0, max), max, largest: largestShell(type) };
}

/** The architecture of this machine, whose programs need no emulation to build. */
export function machineArchitecture(): Architecture {
  return arch() === 'x64' ? 'x86_64' : 'arm64';
}

/** What was given and means the same on another machine; of settings that must not change silently also the default. */
function recorded(context: (name: string) => unknown, kept: Pick<Settings, 'architecture' | 'network' | 'transport'>): Record<string, string> {
  const effective = { deletionProtection: 'false', ...kept };
  const given = NAMES.map((name) => [name, context(name)] as const).filter(([, value]) => value !== undefined && value !== '');
  const texts = given.map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)] as const);
  return { ...effective, ...Object.fromEntries(texts.filter(([name, value]) => isRecorded(name, value))) };
}

/** Whether the next deployment starts from this value: files on one machine are of no use to another. */
export function isRecorded(name: Name, value: string | undefined): boolean {
  // Each deployment reads the account's limit again.
  if (name === 'stackName' || name === 'bootstrap' || name === 'accountConcurrency') return false;
  return name !== 'shellImage' || value === undefined || !existsSync(value);
}

function invalid(name: Name, wanted: string): Error {
  return new Error(`context ${name} must be ${wanted}`);
}

type Reader = ReturnType<typeof reader>;

function reader(context: (name: string) => unknown) {
  const text = (name: Name): string | undefined => {
    const value = context(name);
    return value === undefined || value === '' ? undefined : String(value);
  };
  return {
    text,
    oneOf<T extends string>(name: Name, [first, ...others]: readonly [T, ...T[]], missing: T = first): T {
      const value = text(name) ?? missing;
      const found = [first, ...others].find((option) => option === value);
      if (found === undefined) throw invalid(name, `one of ${[first, ...others].join(', ')}`);
      return found;
    },
    integer(name: Name, missing: number, least: number, most: number): number {
      return integer(name, Number(text(name) ?? missing), least, most);
    },
    optionalInteger(name: Name, least: number, most: number): number | undefined {
      const value = text(name);
      return value === undefined ? undefined : integer(name, Number(value), least, most);
    },
    flag(name: Name, missing: boolean): boolean {
      const value = text(name) ?? String(missing);
      if (value !== 'true' && value !== 'false') throw invalid(name, 'true or false');
      return value === 'true';
    },
  };
}

function integer(name: Name, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) throw invalid(name, `a whole number from ${least} to ${most}`);
  return value;
}

/** Web and DNS. The agent of ECS Exec and the pull of the image need 443. */
const DEFAULT_PORTS = [53, 80, 443];

function ports(value: string | undefined): number[] | undefined {
  if (value === undefined) return DEFAULT_PORTS;
  if (value === 'all') return undefined;
  const read = value.split(',').map((port) => integer('egressPorts', Number(port.trim() || Number.NaN), 1, 65_535));
  if (!read.includes(443)) throw invalid('egressPorts', 'all, or ports separated by commas, among them 443, which ECS needs');
  return [...new Set(read)].sort((one, other) => one - other);
}

function email(value: string | undefined): string | undefined {
  if (value !== undefined && !/^[^@\s]+@[^@\s]+$/.test(value)) throw invalid('alarmEmail', 'an address');
  return value;
}

function version(value: string | undefined): string | undefined {
  if (value !== undefined && !/^\d+(\.\d+){3}$/.test(value)) throw invalid('ssmClientVersion', 'four numbers with dots, such as 1.2.764.0');
  return value;
}

/** A given directory must contain the binary; without one, the placeholder stands in until the binary is built. */
function bootstrap(given: string | undefined, architecture: Architecture): Pick<Settings, 'bootstrap' | 'placeholder'> {
  const directory = given ?? join(INFRA, '..', 'target', 'lambda', architecture);
  if (existsSync(join(directory, 'bootstrap'))) return { bootstrap: directory, placeholder: false };
  if (given !== undefined) throw invalid('bootstrap', 'a directory with the file bootstrap');
  return { bootstrap: PLACEHOLDER, placeholder: true };
}

function jwt(issuer: string | undefined, audience: string | undefined): Settings['jwt'] {
  if (issuer === undefined && audience === undefined) return undefined;
  if (issuer === undefined || !issuer.startsWith('https://')) throw invalid('jwtIssuer', 'an https URL, set together with jwtAudience');
  if (audience === undefined) throw invalid('jwtAudience', 'set together with jwtIssuer: one or more, separated by commas');
  return { issuer, audience: audience.split(',').map((one) => one.trim()) };
}

/** The scope `openid` is one that every issuer knows; without any, some issue no token. */
function consoleSettings(text: (name: Name) => string | undefined): ConsoleSettings {
  const scopes = (text('consoleScopes') ?? `openid ${text('jwtScope') ?? ''}`).split(/[ ,]+/).filter((scope) => scope !== '');
  const tokenOrigin = text('consoleTokenOrigin');
  if (tokenOrigin !== undefined && !/^https:\/\/[a-z0-9.-]+(:\d+)?$/.test(tokenOrigin)) {
    throw invalid('consoleTokenOrigin', 'the origin of an https URL, such as https://tokens.example');
  }
  return { clientId: text('consoleClientId'), scopes: [...new Set(scopes)], tokenOrigin };
}

function environment(value: unknown): Record<string, string> {
  const read: unknown = typeof value === 'string' && value !== '' ? JSON.parse(value) : (value ?? {});
  if (typeof read !== 'object' || read === null || Object.values(read).some((one) => typeof one !== 'string')) {
    throw invalid('environment', 'a JSON object of strings');
  }
  return read as Record<string, string>;
}
