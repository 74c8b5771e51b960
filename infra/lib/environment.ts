/** The environment variables of a function; crates/aws/src/env.rs reads them. */

import { required } from './bus.ts';
import type { Handler, Lane, Permission } from './handlers.ts';
import type { Settings } from './settings.ts';
import type { Resources } from './resources.ts';

type Variables = Readonly<Record<string, string>>;

export function environment(handler: Handler, resources: Resources, settings: Settings): Variables {
  return Object.assign({}, deployment(resources, settings), ...handler.uses.map((permission) => variablesOf(permission, resources, settings)), settings.environment);
}

/** The policy of the deployment, which every function reads. */
function deployment({ network, link }: Resources, settings: Settings): Variables {
  return {
    EPHEMERAL_MAX_ACTIVE_SESSIONS: String(settings.maxActiveSessions),
    ...(settings.maxSessions !== undefined && { EPHEMERAL_MAX_SESSIONS: String(settings.maxSessions) }),
    EPHEMERAL_STARTS_PER_MINUTE: String(settings.startsPerMinute),
    EPHEMERAL_DEFAULT_TTL_SECONDS: String(settings.defaultTtlSeconds),
    EPHEMERAL_MAX_TTL_SECONDS: String(settings.maxTtlSeconds),
    EPHEMERAL_MAX_CPU: String(settings.maxCpu),
    EPHEMERAL_MAX_MEMORY_MIB: String(settings.maxMemoryMiB),
    ...(settings.maxLifetimeSeconds !== undefined && { EPHEMERAL_MAX_LIFETIME_SECONDS: String(settings.maxLifetimeSeconds) }),
    EPHEMERAL_RETENTION_DAYS: String(settings.retentionDays),
    ...(settings.placedWithinSeconds !== undefined && { EPHEMERAL_PLACED_WITHIN_SECONDS: String(settings.placedWithinSeconds) }),
    EPHEMERAL_WARM: String(settings.warm),
    EPHEMERAL_WEBHOOK_ALLOW_PRIVATE: String(settings.webhookAllowPrivate),
    // The cost estimate of a session depends on these two.
    EPHEMERAL_ARCHITECTURE: settings.architecture,
    ...(settings.instances && { EPHEMERAL_CAPACITY: settings.capacity }),
    EPHEMERAL_ASSIGN_PUBLIC_IP: String(network.assignPublicIp),
    ...(network.egress && { EPHEMERAL_SECURITY_GROUP_EGRESS: network.egress.securityGroupId }),
    ...(network.none && { EPHEMERAL_SECURITY_GROUP_NONE: network.none.securityGroupId }),
    ...(link && { EPHEMERAL_TERMINALS: String(settings.terminals) }),
    RUST_LOG: settings.logLevel,
  };
}

function variablesOf(permission: Permission, resources: Resources, settings: Settings): Variables {
  switch (permission) {
    case 'store':
      return { EPHEMERAL_TABLE: resources.table.tableName };
    case 'queue:control':
    case 'queue:exec':
    case 'queue:task-events':
    case 'queue:webhooks': {
      const lane = permission.slice('queue:'.length) as Lane;
      return { [`EPHEMERAL_QUEUE_${lane.replace('-', '_').toUpperCase()}`]: resources.queues[lane].queue.queueUrl };
    }
    case 'workflow:start':
      return { EPHEMERAL_STATE_MACHINE: resources.stateMachineArn };
    case 'compute:run':
      return { ...cluster(resources), ...placement(resources), ...(resources.link && { EPHEMERAL_LINK_URL: resources.link.stage.url }) };
    case 'compute:stop':
    case 'compute:read':
      return cluster(resources);
    case 'shell:post':
      return linkEndpoint(resources);
    case 'shell':
      return { ...cluster(resources), ...linkEndpoint(resources), ...(settings.ssmClientVersion !== undefined && { EPHEMERAL_SSM_CLIENT_VERSION: settings.ssmClientVersion }) };
    case 'transfers':
      return { EPHEMERAL_FILES_BUCKET: resources.files.bucketName, EPHEMERAL_FILES_URL: `https://${resources.files.bucketRegionalDomainName}` };
    case 'publish':
      return { EPHEMERAL_BUS: required(resources).eventBusName };
    case 'workflow:resume':
    case 'webhooks':
      return {};
  }
}

function linkEndpoint({ link }: Resources): Variables {
  return link ? { EPHEMERAL_LINK_ENDPOINT: link.stage.callbackUrl } : {};
}

function cluster(resources: Resources): Variables {
  return { EPHEMERAL_CLUSTER: resources.cluster.attrArn };
}

function placement({ network, task, instances }: Resources): Variables {
  return {
    EPHEMERAL_TASK_DEFINITION: task.definition.taskDefinitionArn,
    EPHEMERAL_SUBNETS: network.subnets.map(({ subnetId }) => subnetId).join(','),
    ...(instances && {
      EPHEMERAL_CAPACITY_PROVIDER: instances.onDemand.ref,
      EPHEMERAL_CAPACITY_PROVIDER_SPOT: instances.spot.ref,
      EPHEMERAL_ISOLATION: instances.settings.isolation,
    }),
  };
}
