/**
 * The console: a private bucket with its files, and a distribution that serves them and the API. To a browser, both are
 * one origin, as on one machine. scripts/deploy writes the files of web/dist and `config.json` to the bucket.
 */

import { Aws, CfnOutput, Duration, Fn, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { HttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import {
  AllowedMethods,
  CachePolicy,
  Distribution,
  HeadersFrameOption,
  HeadersReferrerPolicy,
  HttpVersion,
  OriginRequestPolicy,
  ResponseHeadersPolicy,
  S3OriginAccessControl,
  ViewerProtocolPolicy,
} from 'aws-cdk-lib/aws-cloudfront';
import { HttpOrigin, S3BucketOrigin } from 'aws-cdk-lib/aws-cloudfront-origins';
import { OAuthScope, type UserPool, type UserPoolClient, type UserPoolDomain } from 'aws-cdk-lib/aws-cognito';
import { BlockPublicAccess, Bucket, BucketEncryption, ObjectOwnership } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { suppress } from './rules.ts';
import type { ConsoleSettings, Settings } from './settings.ts';
import type { Issuer } from './users.ts';

/** Features of browsers that the console does not use. */
const UNUSED = ['accelerometer', 'camera', 'display-capture', 'geolocation', 'gyroscope', 'magnetometer', 'microphone', 'midi', 'payment', 'usb'];

/** The statuses of errors that CloudFront otherwise stores for ten seconds, for all users of a path. */
const ERRORS = [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504];

/** Returns the audiences of the console's tokens that the issuer's audiences do not contain. */
export function addConsole(scope: Construct, api: HttpApi, issuer: Issuer, own: ConsoleSettings, settings: Settings): string[] {
  const bucket = addBucket(scope);
  const domain = issuer.pool && addDomain(issuer.pool);
  const tokenOrigin = domain?.baseUrl() ?? own.tokenOrigin;
  const origins = [originOf(issuer), ...(tokenOrigin === undefined ? [] : [tokenOrigin])];
  const distribution = addDistribution(scope, bucket, api, addHeaders(scope, origins, settings));
  const url = `https://${distribution.distributionDomainName}/`;
  const client = issuer.pool && addClient(issuer.pool, url, own);
  const config = {
    signIn: 'oauth',
    issuer: issuer.url,
    clientId: client?.userPoolClientId ?? own.clientId,
    scope: own.scopes.join(' '),
    // Some issuers return a token for an API only if it is named by this parameter; others ignore it.
    ...(issuer.pool === undefined && { audience: issuer.audience[0] }),
    ...(domain && client && { signOutUrl: signOutUrl(domain, client, distribution) }),
  };
  const outputs = { ConsoleUrl: url, ConsoleBucketName: bucket.bucketName, ConsoleConfig: JSON.stringify(config) };
  for (const [name, value] of Object.entries(outputs)) new CfnOutput(scope, name, { value });
  return client === undefined ? [] : [client.userPoolClientId];
}

function addBucket(scope: Construct): Bucket {
  const bucket = new Bucket(scope, 'ConsoleFiles', {
    blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
    encryption: BucketEncryption.S3_MANAGED,
    enforceSSL: true,
    objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
    // scripts/destroy empties it first. It contains nothing that a deployment does not write again.
    removalPolicy: RemovalPolicy.DESTROY,
  });
  suppress(bucket, { finding: 'AwsSolutions-S1', reason: 'The bucket contains public files of this repository, which only the distribution reads.' });
  return bucket;
}

function addDistribution(scope: Construct, bucket: Bucket, api: HttpApi, responseHeadersPolicy: ResponseHeadersPolicy): Distribution {
  const originAccessControl = new S3OriginAccessControl(scope, 'ConsoleAccess', { originAccessControlName: globalName(scope) });
  const origin = S3BucketOrigin.withOriginAccessControl(bucket, { originAccessControl });
  const files = { origin, responseHeadersPolicy, viewerProtocolPolicy: ViewerProtocolPolicy.REDIRECT_TO_HTTPS, compress: true };
  const distribution = new Distribution(scope, 'Console', {
    comment: `The console of ${Stack.of(scope).stackName}`,
    defaultRootObject: 'index.html',
    httpVersion: HttpVersion.HTTP2_AND_3,
    errorResponses: ERRORS.map((httpStatus) => ({ httpStatus, ttl: Duration.seconds(0) })),
    defaultBehavior: { ...files, cachePolicy: CachePolicy.CACHING_DISABLED },
    additionalBehaviors: {
      // The name of each of these files contains a hash of its contents.
      '/assets/*': { ...files, cachePolicy: CachePolicy.CACHING_OPTIMIZED },
      '/v1/*': {
        origin: new HttpOrigin(Fn.select(2, Fn.split('/', api.apiEndpoint)), { readTimeout: Duration.seconds(30) }),
        responseHeadersPolicy,
        // A token that was sent without TLS must not seem to work.
        viewerProtocolPolicy: ViewerProtocolPolicy.HTTPS_ONLY,
        allowedMethods: AllowedMethods.ALLOW_ALL,
        cachePolicy: CachePolicy.CACHING_DISABLED,
        originRequestPolicy: OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
      },
    },
  });
  suppress(
    distribution,
    { finding: 'AwsSolutions-CFR1', reason: 'Where users are is not known.' },
    { finding: 'AwsSolutions-CFR2', reason: 'A firewall has a monthly price; the API checks tokens and limits requests.' },
    { finding: 'AwsSolutions-CFR3', reason: 'The API has an access log; a log of the distribution would add the addresses of users.' },
    { finding: 'AwsSolutions-CFR4', reason: 'The certificate of cloudfront.net fixes the oldest version of TLS; browsers that can show the console use 1.3.' },
  );
  return distribution;
}

/** The headers of every response. `origins` are those from which the console gets tokens. */
function addHeaders(scope: Construct, origins: readonly string[], settings: Settings): ResponseHeadersPolicy {
  const customHeaders = {
    'Permissions-Policy': UNUSED.map((feature) => `${feature}=()`).join(', '),
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
  };
  return new ResponseHeadersPolicy(scope, 'ConsoleHeaders', {
    responseHeadersPolicyName: globalName(scope),
    comment: `The console of ${Stack.of(scope).stackName}`,
    securityHeadersBehavior: {
      contentSecurityPolicy: { contentSecurityPolicy: contentSecurityPolicy(origins, settings), override: true },
      contentTypeOptions: { override: true },
      frameOptions: { frameOption: HeadersFrameOption.DENY, override: true },
      referrerPolicy: { referrerPolicy: HeadersReferrerPolicy.NO_REFERRER, override: true },
      strictTransportSecurity: { accessControlMaxAge: Duration.days(730), includeSubdomains: true, override: true },
    },
    customHeadersBehavior: {
      customHeaders: Object.entries(customHeaders).map(([header, value]) => ({ header, value, override: true })),
    },
  });
}

/** That of the server on one machine, and also the places of tokens and terminals; a test compares them. */
function contentSecurityPolicy(origins: readonly string[], { terminals }: Settings): string {
  const channels = terminals ? [`wss://ssmmessages.${Aws.REGION}.${Aws.URL_SUFFIX}`] : [];
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src ${["'self'", ...new Set(origins), ...channels].join(' ')}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}

/** The pages of the user pool for signing in. Their name must be unique in the region. */
function addDomain(pool: UserPool): UserPoolDomain {
  const id = Fn.select(2, Fn.split('/', Aws.STACK_ID));
  return pool.addDomain('Domain', { cognitoDomain: { domainPrefix: `ephemeral-${id}` } });
}

function addClient(pool: UserPool, url: string, { scopes }: ConsoleSettings): UserPoolClient {
  return pool.addClient('ConsoleClient', {
    generateSecret: false,
    // Without any flow, Cognito adds one that a client whose refresh tokens are used once must not have.
    authFlows: { userSrp: true },
    oAuth: {
      flows: { authorizationCodeGrant: true },
      scopes: scopes.map((scope) => OAuthScope.custom(scope)),
      callbackUrls: [url],
      logoutUrls: [url],
    },
    preventUserExistenceErrors: true,
    accessTokenValidity: Duration.hours(1),
    idTokenValidity: Duration.hours(1),
    refreshTokenValidity: Duration.hours(12),
    // A refresh token can be used once, and for as long again as the answer may have been lost.
    refreshTokenRotationGracePeriod: Duration.seconds(60),
    enableTokenRevocation: true,
  });
}

/** Cognito has its own parameters for signing out. */
function signOutUrl(domain: UserPoolDomain, client: UserPoolClient, distribution: Distribution): string {
  const back = `https%3A%2F%2F${distribution.distributionDomainName}%2F`;
  return `${domain.baseUrl()}/logout?client_id=${client.userPoolClientId}&logout_uri=${back}`;
}

/** CloudFront has one namespace for all regions of an account. Names may have 64 characters. */
function globalName(scope: Construct): string {
  return `${Stack.of(scope).stackName.slice(0, 40)}-${Aws.REGION}`;
}

function originOf({ url, pool }: Issuer): string {
  return pool === undefined ? new URL(url).origin : `https://cognito-idp.${Aws.REGION}.${Aws.URL_SUFFIX}`;
}
