/** The WebSocket API to which runners connect, where the transport is `link`. */

import { Stack } from 'aws-cdk-lib';
import { WebSocketApi, WebSocketStage, type WebSocketRoute } from 'aws-cdk-lib/aws-apigatewayv2';
import { WebSocketLambdaAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { WebSocketLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { suppress } from './rules.ts';
import type { Settings } from './settings.ts';

const STAGE = 'link';

export interface Link {
  readonly api: WebSocketApi;
  readonly stage: WebSocketStage;
}

/** The API without routes: functions refer to it, and its routes to a function. */
export function addLink(scope: Construct, settings: Settings): Link | undefined {
  if (settings.transport !== 'link') return undefined;
  const api = new WebSocketApi(scope, 'Link', {
    apiName: `${Stack.of(scope).stackName}-link`,
    description: 'Runners of shells connect here',
    // All frames take the route $default.
    routeSelectionExpression: '$request.body.route',
  });
  const stage = new WebSocketStage(scope, 'LinkStage', { webSocketApi: api, stageName: STAGE, autoDeploy: true });
  suppress(stage, { finding: 'AwsSolutions-APIG1', reason: 'A line for each frame would cost more than the frames; the function logs what it refuses.' });
  return { api, stage };
}

/** Each connection is authorized when it is opened; what the authorizer says goes with each of its frames. */
export function addLinkRoutes({ api }: Link, fn: IFunction): void {
  const integration = (id: string) => new WebSocketLambdaIntegration(id, fn);
  const authorizer = new WebSocketLambdaAuthorizer('LinkAuthorizer', fn, { identitySource: ['route.request.header.Authorization'] });
  api.addRoute('$connect', { integration: integration('LinkConnect'), authorizer });
  const others: WebSocketRoute[] = [
    api.addRoute('$disconnect', { integration: integration('LinkDisconnect') }),
    // The function's result is the answer to a frame.
    api.addRoute('$default', { integration: integration('LinkDefault'), returnResponse: true }),
  ];
  for (const route of others) {
    suppress(route, { finding: 'AwsSolutions-APIG4', reason: 'A WebSocket API authorizes connections, by the route $connect, and not their frames.' });
  }
}
