/** The files of the console in the bucket of a deployment. */

import { DeleteObjectsCommand, paginateListObjectsV2, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { consoleFiles } from './console-files.ts';
import type { DeployedStack } from './stack.ts';

export interface DeployedConsole {
  readonly bucket: string;
  readonly url: string;
  /** The contents of `config.json`. */
  readonly config: string;
}

/** The console of a stack, if it has one. */
export function consoleOf(stack: DeployedStack | undefined): DeployedConsole | undefined {
  const { ConsoleBucketName: bucket, ConsoleUrl: url, ConsoleConfig: config } = stack?.outputs ?? {};
  return bucket === undefined || url === undefined || config === undefined ? undefined : { bucket, url, config };
}

/** Writes all files, and returns their number. Those of earlier versions stay: open pages load more of them. */
export async function uploadConsole({ bucket, config }: DeployedConsole): Promise<number> {
  const client = s3();
  const files = consoleFiles(config);
  for (const { key, body, contentType, cacheControl } of files) {
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ContentType: contentType, CacheControl: cacheControl }));
  }
  return files.length;
}

/** Deletes all objects of a bucket, and returns their number; 0 if there is no such bucket. */
export async function emptyBucket(bucket: string): Promise<number> {
  const client = s3();
  let deleted = 0;
  try {
    for await (const { Contents } of paginateListObjectsV2({ client }, { Bucket: bucket })) {
      const keys = (Contents ?? []).map(({ Key }) => ({ Key: Key ?? '' }));
      if (keys.length === 0) continue;
      const { Errors } = await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: keys, Quiet: true } }));
      const [failed] = Errors ?? [];
      if (failed !== undefined) throw new Error(`${failed.Key} of the bucket ${bucket} was not deleted: ${failed.Message}`);
      deleted += keys.length;
    }
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'NoSuchBucket') throw error;
  }
  return deleted;
}

function s3(): S3Client {
  // An emulator has one name for all buckets.
  return new S3Client({ forcePathStyle: process.env['AWS_ENDPOINT_URL'] !== undefined });
}
