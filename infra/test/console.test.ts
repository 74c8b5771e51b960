import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { consoleFiles } from '../lib/operate/console-files.ts';
import { consoleOf } from '../lib/operate/console.ts';
import { list, ofType, synthesize, type Resource } from './deployment.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** What the console adds to the template. The browser tests of web/ take the distribution's behaviour from it. */
const SNAPSHOT = join(import.meta.dirname, 'console.snapshot.json');

const base = synthesize({ terminals: 'true' });
const { template, resources } = synthesize({ console: 'true', terminals: 'true' });
const FOREIGN = { console: 'true', terminals: 'true', jwtIssuer: 'https://issuer.example/', jwtAudience: 'api,other', consoleClientId: 'page' };

function only(resources: Record<string, Resource>, type: string): Record<string, any> {
  const [[, found] = [], ...others] = ofType(resources, type);
  assert.deepEqual(others, []);
  assert.ok(found, type);
  return found.Properties;
}

/** The API of users, beside that of runners. */
function httpApi(from = resources): Record<string, any> {
  const found = ofType(from, 'AWS::ApiGatewayV2::Api').filter(([, { Properties }]) => Properties['ProtocolType'] === 'HTTP');
  assert.equal(found.length, 1);
  return found[0]?.[1].Properties ?? {};
}

/** What the API of users checks of tokens. */
function jwt(from = resources): Record<string, any> {
  const found = ofType(from, 'AWS::ApiGatewayV2::Authorizer').filter(([, { Properties }]) => Properties['AuthorizerType'] === 'JWT');
  assert.equal(found.length, 1);
  return found[0]?.[1].Properties['JwtConfiguration'];
}

const distribution = (from = resources) => only(from, 'AWS::CloudFront::Distribution')['DistributionConfig'];
const policy = (from = resources) => only(from, 'AWS::CloudFront::ResponseHeadersPolicy')['ResponseHeadersPolicyConfig'];

/** The text of a property, in which each reference is `{Name}`. */
function text(value: unknown): string {
  if (typeof value === 'string') return value;
  const { Ref: ref, 'Fn::GetAtt': attribute, 'Fn::Join': joined } = value as { Ref?: string; 'Fn::GetAtt'?: string[]; 'Fn::Join'?: [string, unknown[]] };
  if (joined !== undefined) return joined[1].map(text).join(joined[0]);
  return `{${ref ?? attribute?.join('.')}}`;
}

const contentSecurityPolicy = (from = resources) => text(policy(from).SecurityHeadersConfig.ContentSecurityPolicy.ContentSecurityPolicy);

function directives(policy: string): Record<string, string> {
  return Object.fromEntries(policy.split(';').map((directive) => directive.trim().split(/ (.*)/) as [string, string]));
}

describe('the console', () => {
  it('is not there unless it is wanted', () => {
    for (const type of ['AWS::CloudFront::Distribution', 'AWS::Cognito::UserPoolDomain']) assert.deepEqual(ofType(base.resources, type), []);
    assert.deepEqual(Object.keys(base.template['Outputs']).filter((name) => name.startsWith('Console')), []);
  });

  it('adds to the template what the reviewed snapshot has, and removes nothing', () => {
    const changed = Object.entries(resources).filter(([id, resource]) => JSON.stringify(resource) !== JSON.stringify(base.resources[id]));
    const outputs = Object.entries(template['Outputs'] as Record<string, unknown>).filter(([name]) => !(name in base.template['Outputs']));
    const text = `${JSON.stringify({ Resources: Object.fromEntries(changed), Outputs: Object.fromEntries(outputs) }, null, 1)}\n`;
    if (process.env['UPDATE']) writeFileSync(SNAPSHOT, text);
    const known = existsSync(SNAPSHOT) ? readFileSync(SNAPSHOT, 'utf8') : '';
    assert.ok(text === known, `the template changed: run UPDATE=1 npm test and review the difference in ${SNAPSHOT}`);
    assert.deepEqual(Object.keys(base.resources).filter((id) => !(id in resources)), []);
  });

  it('has no custom resource, function or role of its own', () => {
    const count = (of: Record<string, Resource>) => ['AWS::Lambda::Function', 'AWS::IAM::Role', 'AWS::IAM::Policy'].map((type) => ofType(of, type).length);
    assert.deepEqual(count(resources), count(base.resources));
    assert.deepEqual(Object.values(resources).filter(({ Type }) => /^Custom::|CustomResource/.test(Type)), []);
  });
});

describe('the bucket of the console', () => {
  const own = Object.fromEntries(Object.entries(resources).filter(([id]) => !(id in base.resources)));
  const bucket = only(own, 'AWS::S3::Bucket');
  const statements = only(own, 'AWS::S3::BucketPolicy')['PolicyDocument'].Statement as Record<string, any>[];

  it('is private and encrypted, and is deleted with the stack', () => {
    const blocked = { BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true };
    assert.deepEqual(bucket['PublicAccessBlockConfiguration'], blocked);
    assert.deepEqual(bucket['OwnershipControls'], { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] });
    assert.equal(bucket['BucketEncryption'].ServerSideEncryptionConfiguration.length, 1);
    assert.equal(bucket['WebsiteConfiguration'], undefined);
    const [[, { DeletionPolicy } = {} as any]] = ofType(own, 'AWS::S3::Bucket') as any;
    assert.equal(DeletionPolicy, 'Delete');
  });

  it('is read by this distribution and by nobody else, and written by nobody', () => {
    const [allow, ...others] = statements.filter(({ Effect }) => Effect === 'Allow');
    assert.deepEqual(others, []);
    assert.equal(allow?.['Action'], 's3:GetObject');
    assert.deepEqual(allow?.['Principal'], { Service: 'cloudfront.amazonaws.com' });
    const [[id]] = ofType(resources, 'AWS::CloudFront::Distribution') as [[string, Resource]];
    assert.deepEqual(Object.keys(allow?.['Condition']), ['StringEquals']);
    assert.match(text(allow?.['Condition'].StringEquals['AWS:SourceArn']), new RegExp(`^arn:{AWS::Partition}:cloudfront::{AWS::AccountId}:distribution/{${id}}$`));
    assert.deepEqual(distribution().Origins[0].S3OriginConfig, { OriginAccessIdentity: '' });
    assert.ok(distribution().Origins[0].OriginAccessControlId);
  });

  it('refuses requests without TLS', () => {
    const conditions = statements.filter(({ Effect }) => Effect === 'Deny').map(({ Condition }) => Condition);
    assert.deepEqual(conditions, [{ Bool: { 'aws:SecureTransport': 'false' } }]);
  });

  it('gets each file of the bundle, with the page last, and only parts of it are cached', () => {
    const files = consoleFiles('{"a":1}');
    assert.deepEqual(files.slice(-2).map(({ key, cacheControl }) => [key, cacheControl]), [['config.json', 'no-cache'], ['index.html', 'no-cache']]);
    assert.equal(String(files.at(-2)?.body), '{"a":1}');
    const page = String(files.at(-1)?.body);
    const named = [...page.matchAll(/(?:src|href)="\/([^"]+)"/g)].map(([, name]) => name ?? '');
    assert.ok(named.length >= 3);
    for (const name of named) assert.match(files.find(({ key }) => key === name)?.cacheControl ?? '', /immutable$/, name);
    assert.equal(files.find(({ key }) => key === 'assets/third-party-notices.txt')?.cacheControl, 'no-cache');
  });
});

describe('the distribution', () => {
  it('sends the same headers with all that it serves', () => {
    const behaviours = [distribution().DefaultCacheBehavior, ...distribution().CacheBehaviors];
    assert.equal(new Set(behaviours.map(({ ResponseHeadersPolicyId }) => JSON.stringify(ResponseHeadersPolicyId))).size, 1);
    assert.ok(behaviours[0].ResponseHeadersPolicyId);
    const { SecurityHeadersConfig: security, CustomHeadersConfig: custom } = policy();
    assert.deepEqual(security.StrictTransportSecurity, { AccessControlMaxAgeSec: 63_072_000, IncludeSubdomains: true, Override: true });
    assert.deepEqual(security.ContentTypeOptions, { Override: true });
    assert.deepEqual(security.FrameOptions, { FrameOption: 'DENY', Override: true });
    assert.deepEqual(security.ReferrerPolicy, { ReferrerPolicy: 'no-referrer', Override: true });
    const others = Object.fromEntries(custom.Items.map(({ Header, Value }: Record<string, string>) => [Header, Value]));
    assert.match(others['Permissions-Policy'], /camera=\(\)/);
    assert.deepEqual([others['Cross-Origin-Opener-Policy'], others['Cross-Origin-Resource-Policy']], ['same-origin', 'same-origin']);
  });

  it('has the content security policy of the server on one machine, except for where the page may connect to', () => {
    const source = readFileSync(join(ROOT, 'crates', 'local', 'src', 'server', 'console', 'files.rs'), 'utf8');
    const [, local = ''] = /const POLICY: &str = "([^"]*)"/.exec(source) ?? [];
    const own = directives(contentSecurityPolicy());
    assert.deepEqual(Object.keys(own).sort(), Object.keys(directives(local.replace(/\\\n\s*/g, ''))).sort());
    assert.deepEqual({ ...own, 'connect-src': "'self'" }, directives(local.replace(/\\\n\s*/g, '')));
  });

  it('lets the page connect to the API, the issuer and the terminals of this region, without a wildcard', () => {
    const [[domain]] = ofType(resources, 'AWS::Cognito::UserPoolDomain') as [[string, Resource]];
    assert.deepEqual(directives(contentSecurityPolicy())['connect-src']?.split(' '), [
      "'self'",
      'https://cognito-idp.{AWS::Region}.{AWS::URLSuffix}',
      `https://{${domain}}.auth.{AWS::Region}.amazoncognito.com`,
      'wss://ssmmessages.{AWS::Region}.{AWS::URLSuffix}',
    ]);
    const foreign = (context: Record<string, string>) => directives(contentSecurityPolicy(synthesize({ ...FOREIGN, ...context }).resources))['connect-src'];
    const channels = 'wss://ssmmessages.{AWS::Region}.{AWS::URLSuffix}';
    assert.equal(foreign({}), `'self' https://issuer.example ${channels}`);
    assert.equal(foreign({ consoleTokenOrigin: 'https://tokens.example' }), `'self' https://issuer.example https://tokens.example ${channels}`);
    assert.equal(foreign({ consoleTokenOrigin: 'https://issuer.example' }), `'self' https://issuer.example ${channels}`);
    assert.ok(!contentSecurityPolicy().includes('*'));
  });

  it('passes requests to the API on by https only, with their token, and stores no answer', () => {
    const [assets, api] = distribution().CacheBehaviors;
    assert.deepEqual([assets.PathPattern, api.PathPattern], ['/assets/*', '/v1/*']);
    assert.equal(api.ViewerProtocolPolicy, 'https-only');
    // The managed policies CachingDisabled and AllViewerExceptHostHeader.
    assert.equal(api.CachePolicyId, '4135ea2d-6df8-44a3-9df3-4b5a84be39ad');
    assert.equal(api.OriginRequestPolicyId, 'b689b0a8-53d0-40ab-baf2-68738e2966ac');
    const origin = distribution().Origins.find(({ Id }: { Id: string }) => Id === api.TargetOriginId);
    assert.equal(origin.CustomOriginConfig.OriginProtocolPolicy, 'https-only');
    assert.match(JSON.stringify(origin.DomainName), /"Fn::GetAtt":\["Api[0-9A-F]+","ApiEndpoint"\]/);
    assert.deepEqual(distribution().DefaultCacheBehavior.CachePolicyId, api.CachePolicyId, 'the page is not cached');
    assert.notEqual(assets.CachePolicyId, api.CachePolicyId);
  });

  it('stores no error, which another user would get', () => {
    const responses = distribution().CustomErrorResponses as Record<string, number>[];
    for (const status of [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504]) {
      assert.deepEqual(responses.find(({ ErrorCode }) => ErrorCode === status), { ErrorCode: status, ErrorCachingMinTTL: 0 });
    }
  });

  it('takes the place of CORS: no other origin can read the API', () => {
    for (const context of [{ console: 'true' }, FOREIGN]) {
      assert.equal(httpApi(synthesize(context).resources)['CorsConfiguration'], undefined);
    }
  });
});

describe('signing in to the console', () => {
  const [domainId] = ofType(resources, 'AWS::Cognito::UserPoolDomain')[0] ?? [];
  const clients = ofType(resources, 'AWS::Cognito::UserPoolClient');
  const [clientId, client] = clients.find(([, { Properties }]) => Properties['AllowedOAuthFlows'] !== undefined) ?? ['', { Properties: {} as Record<string, any> }];
  const [distributionId] = ofType(resources, 'AWS::CloudFront::Distribution')[0] ?? [];
  const page = `https://{${distributionId}.DomainName}/`;

  it('is by a client of the user pool without a secret, whose codes come back to the console only', () => {
    const { Properties } = client;
    assert.equal(Properties['GenerateSecret'], false);
    assert.deepEqual(Properties['AllowedOAuthFlows'], ['code']);
    assert.deepEqual(Properties['AllowedOAuthScopes'], ['openid']);
    assert.deepEqual(Properties['CallbackURLs'].map(text), [page]);
    assert.deepEqual(Properties['LogoutURLs'].map(text), [page]);
    assert.deepEqual(Properties['RefreshTokenRotation'], { Feature: 'ENABLED', RetryGracePeriodSeconds: 60 });
    assert.ok(!Properties['ExplicitAuthFlows'].includes('ALLOW_REFRESH_TOKEN_AUTH'), 'Cognito refuses it together with rotation');
  });

  it('gives tokens that the API accepts, beside those of the other client', () => {
    assert.deepEqual(jwt()['Audience'].map(text).sort(), clients.map(([id]) => `{${id}}`).sort());
  });

  it('asks for the scope that the API demands', () => {
    const { template, resources } = synthesize({ console: 'true', jwtScope: 'ephemeral/use' });
    const own = ofType(resources, 'AWS::Cognito::UserPoolClient').flatMap(([, { Properties }]) => list(Properties['AllowedOAuthScopes']));
    assert.deepEqual(own, ['openid', 'ephemeral/use']);
    assert.equal(config(template).scope, 'openid ephemeral/use');
  });

  function config(from: Record<string, any>): Record<string, string> {
    return JSON.parse(text(from['Outputs']['ConsoleConfig'].Value));
  }

  it('is described to the page by the stack', () => {
    const domain = `https://{${domainId}}.auth.{AWS::Region}.amazoncognito.com`;
    assert.deepEqual(config(template), {
      signIn: 'oauth',
      issuer: text(jwt()['Issuer']),
      clientId: `{${clientId}}`,
      scope: 'openid',
      signOutUrl: `${domain}/logout?client_id={${clientId}}&logout_uri=https%3A%2F%2F{${distributionId}.DomainName}%2F`,
    });
    assert.equal(text(template['Outputs']['ConsoleUrl'].Value), page);
  });

  it('is by the configured client of another issuer', () => {
    const { template, resources } = synthesize({ ...FOREIGN, consoleScopes: 'openid,offline_access use' });
    assert.deepEqual(config(template), { signIn: 'oauth', issuer: 'https://issuer.example/', clientId: 'page', scope: 'openid offline_access use', audience: 'api' });
    assert.deepEqual(ofType(resources, 'AWS::Cognito::UserPoolDomain'), []);
    assert.deepEqual(jwt(resources)['Audience'], ['api', 'other']);
  });
});

describe('names of the console', () => {
  it('are others in another region, because the distributions of all regions share them', () => {
    const { resources } = synthesize({ console: 'true' });
    const names = [policy(resources).Name, only(resources, 'AWS::CloudFront::OriginAccessControl')['OriginAccessControlConfig'].Name];
    for (const name of names) assert.equal(text(name), 'ephemeral-{AWS::Region}');
  });

  it('are found in the outputs of a stack that has one', () => {
    const stack = (outputs: Record<string, string>) => ({ name: 'ephemeral', status: 'CREATE_COMPLETE', outputs });
    assert.equal(consoleOf(undefined), undefined);
    assert.equal(consoleOf(stack({ ApiUrl: 'https://api.example' })), undefined);
    const outputs = { ConsoleBucketName: 'b', ConsoleUrl: 'https://c.example/', ConsoleConfig: '{}' };
    assert.deepEqual(consoleOf(stack(outputs)), { bucket: 'b', url: 'https://c.example/', config: '{}' });
  });
});
