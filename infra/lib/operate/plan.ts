/** The settings of the next deployment: what is given, else what was deployed before, else the defaults. */

import { DEFAULT_NETWORK, isRecorded, machineArchitecture, NAMES, type Capacity, type Name, type Transport } from '../settings.ts';

/** The arguments of scripts/deploy. */
export interface Arguments {
  readonly given: ReadonlyMap<Name, string>;
  /** Settings that return to their defaults. */
  readonly reset: ReadonlySet<Name>;
  /** Arguments for the CDK. */
  readonly others: readonly string[];
}

/** What is known of the stack that the account has. */
export interface Previous {
  /** Its settings; absent if a version deployed it that did not record them. */
  readonly settings: Readonly<Record<string, string>> | undefined;
}

export interface Plan {
  readonly context: ReadonlyMap<Name, string>;
  readonly changes: readonly Change[];
}

export interface Change {
  readonly name: Name;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** What happens to users and sessions when one of these settings changes. */
const CONSEQUENCES: Partial<Record<Name, string>> = {
  architecture: 'new shells run on the other architecture; running ones stay',
  network: 'the subnets are replaced; sessions must be stopped first',
  transport: 'commands reach new shells only; sessions must be stopped first, and link has terminals only with terminals=true',
  capacity: 'shells run on instances of EC2, or on Fargate; sessions must be stopped first',
  isolation: 'shells that are started from now on have an instance of their own, or share one',
  instanceType: 'instances that start from now on have the other type; running ones stay for up to a week',
  terminals: 'shells that are started from now on have terminals, or have none',
  jwtIssuer: 'tokens of the previous issuer are refused; a user pool that the stack created is deleted unless deletionProtection is on',
  jwtAudience: 'tokens for the previous audiences are refused',
  jwtScope: 'tokens without the scope are refused',
  console: 'adds or removes the console; creating a distribution takes some minutes',
  consoleClientId: 'users of the console must sign in again',
  deletionProtection: 'decides whether the table and the user pool outlive the stack',
};

/** Settings that must be given if the previous deployment did not record them. */
const MUST_BE_KNOWN: readonly Name[] = ['network', 'architecture'];

/** Throws an error for an unknown setting or an incomplete option. */
export function parseArguments(args: readonly string[]): Arguments {
  const given = new Map<Name, string>();
  const reset = new Set<Name>();
  const others: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const argument = args[at] ?? '';
    if (argument === '-c' || argument === '--context') {
      const [, name, value] = /^([^=]*)=([^]*)$/.exec(args[(at += 1)] ?? '') ?? [];
      if (name === undefined || value === undefined) throw new Error(`${argument} needs NAME=VALUE`);
      // An empty value is the default.
      if (value === '') reset.add(known(name));
      else given.set(known(name), oneLine(name, value));
    } else if (argument === '--reset') {
      reset.add(known(args[(at += 1)] ?? ''));
    } else {
      others.push(argument);
    }
  }
  const both = [...given.keys()].filter((name) => reset.has(name));
  if (both.length > 0) throw new Error(`${both.join(', ')} cannot be set and reset at the same time`);
  return { given, reset, others };
}

/** The transport of a stack whose version did not record one: there was no other. */
const FIRST_TRANSPORT = 'exec';

/** Throws an error if the stack exists and a setting that must not change silently is not known. */
export function plan({ given, reset }: Arguments, previous: Previous | undefined): Plan {
  const kept: Readonly<Record<string, string>> | undefined = previous && { transport: FIRST_TRANSPORT, ...previous.settings };
  const before = previous?.settings && kept;
  if (previous !== undefined && before === undefined) {
    const missing = MUST_BE_KNOWN.filter((name) => !given.has(name));
    if (missing.length > 0) {
      throw new Error(
        `the deployed version did not record its settings. hint: give ${missing.map((name) => `-c ${name}=…`).join(' ')}, and every other` +
          ' setting that is not to return to its default',
      );
    }
  }
  const network = given.get('network') ?? (reset.has('network') ? DEFAULT_NETWORK : before?.['network']);
  const isMoved = network !== before?.['network'] && before !== undefined;
  const context = new Map<Name, string>();
  for (const name of NAMES) {
    // Another network has a transport of its own, and is permitted only where no shell runs.
    const isKept = !reset.has(name) && !(name === 'transport' && isMoved);
    const value = given.get(name) ?? (isKept ? kept?.[name] : undefined) ?? (name === 'architecture' ? machineArchitecture() : undefined);
    if (value !== undefined) context.set(name, value);
  }
  return { context, changes: before === undefined ? [] : changes(before, context) };
}

function changes(before: Readonly<Record<string, string>>, context: ReadonlyMap<Name, string>): Change[] {
  return NAMES.filter((name) => name !== 'stackName' && isRecorded(name, context.get(name)))
    .map((name) => ({ name, from: before[name], to: context.get(name) }))
    .filter(({ from, to }) => from !== to);
}

/** What the next deployment will have. */
export type Next = Readonly<{ transport: Transport; capacity: Capacity }>;

/** The capacity of a stack that recorded none. */
const FIRST_CAPACITY = 'fargate';

/** The setting, if any, that can change only while no shell runs. */
export function needsNoShells({ settings }: Previous, changes: readonly Change[], next: Next): Name | undefined {
  // The gateway of the old network cannot be detached while tasks have addresses.
  if (changes.some((change) => change.name === 'network')) return 'network';
  // The tasks of the other capacity are in another cluster.
  if ((settings?.['capacity'] ?? FIRST_CAPACITY) !== next.capacity) return 'capacity';
  // Over another transport no running task can be reached.
  return (settings?.['transport'] ?? FIRST_TRANSPORT) === next.transport ? undefined : 'transport';
}

/** The setting, if any, that can't change while the deployment has instances: running ones would keep the old value. */
export function needsNoInstances({ settings }: Previous, changes: readonly Change[], next: Next): Name | undefined {
  if (settings?.['capacity'] !== 'ec2' || next.capacity !== 'ec2') return undefined;
  return changes.find(({ name }) => name === 'network' || name === 'architecture')?.name;
}

/** One line for each change, with its consequence. */
export function describeChanges(changes: readonly Change[]): string[] {
  return changes.map(({ name, from, to }) => {
    const consequence = CONSEQUENCES[name];
    return `${name}: ${from ?? '(default)'} -> ${to ?? '(default)'}${consequence === undefined ? '' : ` (${consequence})`}`;
  });
}

function known(name: string): Name {
  const found = NAMES.find((one) => one === name);
  if (found === undefined) throw new Error(`there is no setting ${name}. hint: docs/operations.md lists the settings`);
  return found;
}

/** scripts/deploy reads the plan line by line. */
function oneLine(name: string, value: string): string {
  if (name === 'environment') return JSON.stringify(JSON.parse(value));
  if (value.includes('\n')) throw new Error(`${name} must not contain a line break`);
  return value;
}
