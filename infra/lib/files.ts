/**
 * The bucket through which files go between clients and shells. Both get presigned URLs, so that the bytes never
 * pass through a function; nobody else reads or writes it.
 */

import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { AnyPrincipal, Effect, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { BlockPublicAccess, Bucket, BucketEncryption, ObjectOwnership } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { suppress } from './rules.ts';

/** The names of all objects begin with this; crates/aws/src/transfers.rs makes them. */
export const FILES = 'files/*';

/** How old a signature may be, in milliseconds: as long as URLs are valid. */
const MAX_SIGNATURE_AGE = 15 * 60 * 1000;

export function addFiles(scope: Construct): Bucket {
  const bucket = new Bucket(scope, 'Files', {
    blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
    encryption: BucketEncryption.S3_MANAGED,
    enforceSSL: true,
    objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
    lifecycleRules: [{ expiration: Duration.days(1), abortIncompleteMultipartUploadAfter: Duration.days(1) }],
    // scripts/destroy empties it first. What it has is on its way, or was.
    removalPolicy: RemovalPolicy.DESTROY,
  });
  // Whoever could sign with a function's credentials can't make a URL that is valid for longer.
  bucket.addToResourcePolicy(
    new PolicyStatement({
      effect: Effect.DENY,
      principals: [new AnyPrincipal()],
      actions: ['s3:GetObject', 's3:PutObject'],
      resources: [bucket.arnForObjects('*')],
      conditions: { NumericGreaterThan: { 's3:signatureAge': MAX_SIGNATURE_AGE } },
    }),
  );
  suppress(bucket, { finding: 'AwsSolutions-S1', reason: 'A log of the accesses would cost more than the transfers, and each is a job on record.' });
  return bucket;
}
