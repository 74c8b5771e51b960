/** The variables of a function, which crates/aws/src/env.rs reads. */

import type { Handler, Lane, Use } from './handlers.ts';
import type { Settings } from './settings.ts';
import type { World } from './world.ts';

type Variables = Readonly<Record<string, string>>;

export function environment(handler: Handler, world: World, settings: Settings): Variables {
  return Object.assign({}, deployment(world, settings), ...handler.uses.map((use) => of(use, world)), settings.environment);
}

/** What the deployment allows and prefers: every function may ask. */
function deployment({ network }: World, settings: Settings): Variables {
  return {
    EPHEMERAL_MAX_ACTIVE_SESSIONS: String(settings.maxActiveSessions),
    EPHEMERAL_DEFAULT_TTL_SECONDS: String(settings.defaultTtlSeconds),
    EPHEMERAL_MAX_TTL_SECONDS: String(settings.maxTtlSeconds),
    EPHEMERAL_RETENTION_DAYS: String(settings.retentionDays),
    EPHEMERAL_WARM: String(settings.warm),
    EPHEMERAL_WEBHOOK_ALLOW_PRIVATE: String(settings.webhookAllowPrivate),
    // What a session costs goes by these two.
    EPHEMERAL_ARCHITECTURE: settings.architecture,
    EPHEMERAL_ASSIGN_PUBLIC_IP: String(network.assignPublicIp),
    ...(network.egress && { EPHEMERAL_SECURITY_GROUP_EGRESS: network.egress.securityGroupId }),
    ...(network.none && { EPHEMERAL_SECURITY_GROUP_NONE: network.none.securityGroupId }),
    RUST_LOG: settings.logLevel,
  };
}

function of(use: Use, world: World): Variables {
  switch (use) {
    case 'store':
      return { EPHEMERAL_TABLE: world.table.tableName };
    case 'queue:control':
    case 'queue:exec':
    case 'queue:task-events':
    case 'queue:webhooks': {
      const lane = use.slice('queue:'.length) as Lane;
      return { [`EPHEMERAL_QUEUE_${lane.replace('-', '_').toUpperCase()}`]: world.queues[lane].queue.queueUrl };
    }
    case 'workflow:start':
      return { EPHEMERAL_STATE_MACHINE: world.stateMachineArn };
    case 'compute:run':
      return { ...cluster(world), ...placement(world) };
    case 'compute:stop':
    case 'compute:read':
    case 'shell':
      return cluster(world);
    case 'workflow:resume':
    case 'webhooks':
      return {};
  }
}

function cluster(world: World): Variables {
  return { EPHEMERAL_CLUSTER: world.cluster.attrArn };
}

function placement({ network, task }: World): Variables {
  return {
    EPHEMERAL_TASK_DEFINITION: task.definition.taskDefinitionArn,
    EPHEMERAL_SUBNETS: network.subnets.map(({ subnetId }) => subnetId).join(','),
  };
}
