/** The table, from `table.json`, which the tests of the store read too. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RemovalPolicy } from 'aws-cdk-lib';
import { AttributeType, BillingMode, ProjectionType, StreamViewType, Table, type Attribute } from 'aws-cdk-lib/aws-dynamodb';
import type { Construct } from 'constructs';
import type { Settings } from './settings.ts';

interface Key {
  readonly name: string;
  readonly type: 'S' | 'N' | 'B';
}

export interface TableShape {
  readonly partitionKey: Key;
  readonly sortKey: Key;
  readonly ttlAttribute: string;
  readonly indexes: readonly {
    readonly name: string;
    readonly partitionKey: Key;
    readonly sortKey?: Key;
    readonly projection: 'ALL' | 'KEYS_ONLY' | 'INCLUDE';
    readonly include?: string[];
  }[];
}

export function readTable(): TableShape {
  return JSON.parse(readFileSync(join(import.meta.dirname, '..', 'table.json'), 'utf8')) as TableShape;
}

export function addTable(scope: Construct, settings: Settings): Table {
  const shape = readTable();
  const table = new Table(scope, 'Table', {
    partitionKey: attribute(shape.partitionKey),
    sortKey: attribute(shape.sortKey),
    timeToLiveAttribute: shape.ttlAttribute,
    billingMode: BillingMode.PAY_PER_REQUEST,
    // Backups would otherwise keep deleted records for 35 days, which is also the longest period.
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true, recoveryPeriodInDays: Math.min(settings.retentionDays, 35) },
    // The function that publishes events reads them from the stream.
    ...(settings.bus && { stream: StreamViewType.NEW_IMAGE }),
    deletionProtection: settings.deletionProtection,
    removalPolicy: settings.deletionProtection ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  });
  for (const index of shape.indexes) {
    table.addGlobalSecondaryIndex({
      indexName: index.name,
      partitionKey: attribute(index.partitionKey),
      ...(index.sortKey && { sortKey: attribute(index.sortKey) }),
      projectionType: ProjectionType[index.projection],
      ...(index.include && { nonKeyAttributes: index.include }),
    });
  }
  return table;
}

function attribute({ name, type }: Key): Attribute {
  return { name, type: { S: AttributeType.STRING, N: AttributeType.NUMBER, B: AttributeType.BINARY }[type] };
}
