/** The issuer of the tokens that the API accepts: a user pool of the stack, unless another issuer is configured. */

import { Aws, CfnOutput, Duration, RemovalPolicy } from 'aws-cdk-lib';
import { AccountRecovery, Mfa, UserPool } from 'aws-cdk-lib/aws-cognito';
import type { Construct } from 'constructs';
import { suppress } from './rules.ts';
import type { Settings } from './settings.ts';

export interface Issuer {
  readonly url: string;
  /** Of these audiences, a token must have one. */
  readonly audience: readonly string[];
  /** The user pool, if the stack has created it. */
  readonly pool: UserPool | undefined;
}

export function addIssuer(scope: Construct, settings: Settings): Issuer {
  return settings.jwt === undefined ? addUserPool(scope, settings) : { url: settings.jwt.issuer, audience: settings.jwt.audience, pool: undefined };
}

function addUserPool(scope: Construct, settings: Settings): Issuer {
  const pool = new UserPool(scope, 'Users', {
    selfSignUpEnabled: false,
    signInAliases: { email: true },
    accountRecovery: AccountRecovery.EMAIL_ONLY,
    mfa: Mfa.OPTIONAL,
    mfaSecondFactor: { sms: false, otp: true },
    passwordPolicy: { minLength: 12, requireLowercase: true, requireUppercase: true, requireDigits: true, requireSymbols: true },
    deletionProtection: settings.deletionProtection,
    removalPolicy: settings.deletionProtection ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  });
  suppress(
    pool,
    { finding: 'AwsSolutions-COG2', reason: 'Some callers are programs; each user may turn a second factor on.' },
    { finding: 'AwsSolutions-COG8', reason: 'The plan with threat protection costs per user; jwtIssuer selects another identity provider.' },
  );
  const client = pool.addClient('UserClient', {
    generateSecret: false,
    authFlows: { userSrp: true, userPassword: true },
    disableOAuth: true,
    preventUserExistenceErrors: true,
    accessTokenValidity: Duration.hours(1),
    idTokenValidity: Duration.hours(1),
    refreshTokenValidity: Duration.days(30),
  });
  new CfnOutput(scope, 'UserPoolId', { value: pool.userPoolId });
  new CfnOutput(scope, 'UserPoolClientId', { value: client.userPoolClientId });
  return {
    url: `https://cognito-idp.${Aws.REGION}.${Aws.URL_SUFFIX}/${pool.userPoolId}`,
    // Cognito access tokens have no audience; the gateway then compares their client id.
    audience: [client.userPoolClientId],
    pool,
  };
}
