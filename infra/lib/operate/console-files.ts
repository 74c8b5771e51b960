/** The console as objects of a bucket: the committed bundle, with the configuration of a deployment. */

import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';

export interface ConsoleFile {
  readonly key: string;
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly cacheControl: string;
}

const DIST = join(import.meta.dirname, '..', '..', '..', 'web', 'dist');

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
};

/**
 * The files of the bundle, in the order in which they can be written while the console is used: what the page refers
 * to stands before it.
 */
export function consoleFiles(config: string): ConsoleFile[] {
  const assets = readdirSync(join(DIST, 'assets')).map((name) => `assets/${name}`).sort();
  return [...assets, 'config.json', 'index.html'].map((key) => {
    const extension = extname(key);
    const contentType = TYPES[extension];
    if (contentType === undefined) throw new Error(`the type of ${key} is not known`);
    const body = key === 'config.json' ? Buffer.from(config) : readFileSync(join(DIST, key));
    // The name of a part of the page contains a hash of its contents, so it never changes.
    const hasHash = key.startsWith('assets/') && extension !== '.txt';
    return { key, body, contentType, cacheControl: hasHash ? 'public, max-age=31536000, immutable' : 'no-cache' };
  });
}
