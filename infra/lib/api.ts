/** The HTTP API and its authorizer. */

import { Stack } from 'aws-cdk-lib';
import { AccessLogField, AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import { HttpApi, HttpMethod, HttpNoneAuthorizer, HttpStage, LogGroupLogDestination } from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpJwtAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { addConsole } from './console.ts';
import { logGroup, VENDED } from './logs.ts';
import { suppress } from './rules.ts';
import type { Settings } from './settings.ts';
import { addIssuer } from './users.ts';

/** The stage is the `/v1` of every path. Routes contain the rest of the path; the function receives the whole path. */
const STAGE = 'v1';

const PUBLIC = {
  finding: 'AwsSolutions-APIG4',
  reason: 'The description of the API contains no user data.',
};

export function addApi(scope: Construct, fn: IFunction, settings: Settings): HttpStage {
  const api = new HttpApi(scope, 'Api', {
    apiName: Stack.of(scope).stackName,
    description: 'Disposable shells',
    createDefaultStage: false,
  });
  const integration = new HttpLambdaIntegration('ApiIntegration', fn);
  const issuer = addIssuer(scope, settings);
  const consoleAudience = settings.console === undefined ? [] : addConsole(scope, api, issuer, settings.console, settings);
  const authorizer = new HttpJwtAuthorizer('Jwt', issuer.url, { jwtAudience: [...issuer.audience, ...consoleAudience] });
  // Tokens for other purposes of the same issuer may have the same audience; a scope tells them apart.
  const authorizationScopes = settings.jwtScope === undefined ? {} : { authorizationScopes: [settings.jwtScope] };
  api.addRoutes({ path: '/{proxy+}', methods: [HttpMethod.ANY], integration, authorizer, ...authorizationScopes });
  const publicRoutes = api.addRoutes({
    path: '/openapi.json',
    methods: [HttpMethod.GET],
    integration,
    authorizer: new HttpNoneAuthorizer(),
  });
  for (const route of publicRoutes) suppress(route, PUBLIC);
  return new HttpStage(scope, 'Stage', {
    httpApi: api,
    stageName: STAGE,
    autoDeploy: true,
    detailedMetricsEnabled: false,
    throttle: { rateLimit: settings.throttle.rate, burstLimit: settings.throttle.burst },
    accessLogSettings: {
      destination: new LogGroupLogDestination(logGroup(scope, 'AccessLogs', 'access', settings, VENDED)),
      format: accessLog(),
    },
  });
}

/** Contains no address, token or query. The function's log has the request under the same id. */
function accessLog(): AccessLogFormat {
  return AccessLogFormat.custom(
    JSON.stringify({
      requestId: AccessLogField.contextRequestId(),
      time: AccessLogField.contextRequestTime(),
      method: AccessLogField.contextHttpMethod(),
      route: '$context.routeKey',
      status: AccessLogField.contextStatus(),
      bytes: AccessLogField.contextResponseLength(),
      latencyMs: AccessLogField.contextResponseLatency(),
      authorizerError: '$context.authorizer.error',
      integrationError: '$context.integrationErrorMessage',
    }),
  );
}
