/** The settings of the EC2 instances that run shells in place of Fargate. */

/** Whether an instance runs the shell of one session at a time, or those of several sessions of any users. */
export type Isolation = 'session' | 'shared';

export interface InstanceSettings {
  /** The type of EC2, such as `m7g.medium`. */
  readonly type: string;
  readonly isolation: Isolation;
  /** How many on-demand instances run although no shell needs them. */
  readonly min: number;
  /** How many instances run at most: on-demand ones, and as many Spot ones. */
  readonly max: number;
  /** The largest shell that fits on an instance, in units of 1/1024 core and in MiB. */
  readonly largest: { readonly cpu: number; readonly memoryMiB: number };
}

/** The smallest types of current generations, with one vCPU and 4 GiB. */
export const DEFAULT_TYPES = { arm64: 'm7g.medium', x86_64: 'm7a.medium' } as const;

const VCPUS = { medium: 1, large: 2, xlarge: 4, '2xlarge': 8, '4xlarge': 16 } as const;
const GIB_PER_VCPU = { c: 2, m: 4, r: 8 } as const;

/** Family, generation, processor (`g` is arm64) with options such as `d` or `n`, and size. */
const TYPE = /^([cmr])[6-9]([gai])[a-z-]*\.(medium|large|xlarge|2xlarge|4xlarge)$/;

/** The sizes that have two network interfaces: one for the instance, and one for a task. */
const ONE_TASK = 'medium';

/** What the kernel, the agent and the container runtime need. */
const RESERVED_SHARE = 0.1;
export const RESERVED_MIB = 256;

const MAX_SHELL = { cpu: 4_096, memoryMiB: 30_720 } as const;

/** What is wrong with a type, or undefined. */
export function typeProblem(type: string, architecture: keyof typeof DEFAULT_TYPES, isolation: Isolation): string | undefined {
  const [, , processor, size] = TYPE.exec(type) ?? [];
  if (size === undefined) return 'a type of the families c, m or r from generation 6 on, of size medium to 4xlarge, such as m7g.medium';
  if ((processor === 'g') !== (architecture === 'arm64')) return `a type with processors of ${architecture}, such as ${DEFAULT_TYPES[architecture]}`;
  if (isolation === 'session' && size !== ONE_TASK) {
    return `of size ${ONE_TASK} where isolation is session: larger types have network interfaces for several tasks. hint: give -c isolation=shared if shells may share a kernel`;
  }
  return undefined;
}

/** The largest shell on an instance of a valid type. */
export function largestShell(type: string): InstanceSettings['largest'] {
  const [, family, , size] = TYPE.exec(type) ?? [];
  const vcpus = VCPUS[size as keyof typeof VCPUS];
  const memory = vcpus * GIB_PER_VCPU[family as keyof typeof GIB_PER_VCPU] * 1_024;
  const free = memory * (1 - RESERVED_SHARE) - RESERVED_MIB;
  // Shells have whole GiB, but for the smallest.
  return { cpu: Math.min(vcpus * 1_024, MAX_SHELL.cpu), memoryMiB: Math.min(Math.floor(free / 1_024) * 1_024, MAX_SHELL.memoryMiB) };
}
