/** The browser side's files, as built: served with the headers that they need, and one page for every address of the console. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import staticFiles from '@fastify/static';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** Built files have their digest in their name and never change; other files are asked for anew, answers never kept. */
export function cachingOf(path: string, status: number, isFile: boolean): string {
  if (path.startsWith('/assets/') && status < 400) return 'public, max-age=31536000, immutable';
  return isFile ? 'no-cache' : 'no-store';
}

const NOT_BUILT = `<!doctype html><meta charset="utf-8"><title>Konsollen er ikke bygd</title>
<h1>Konsollen er ikke bygd</h1><p>Kjør <code>npm run build:console</code> og last siden på nytt.</p>
<p lang="en">The console has not been built: run <code>npm run build:console</code> and reload.</p>
`;

export function servePages(app: FastifyInstance, root: string): void {
  void app.register(staticFiles, {
    root,
    prefix: '/',
    index: 'index.html',
    decorateReply: true,
    cacheControl: false,
    // Looked for at each request: the console may be built while the centre runs.
    wildcard: true,
  });
}

/** A browser that goes somewhere, as against a script that asks for a file. */
const navigates = ({ method, headers, url }: FastifyRequest): boolean =>
  (method === 'GET' || method === 'HEAD') &&
  !url.startsWith('/api/') &&
  !/\.\w+($|\?)/.test(url) &&
  (headers.accept ?? '').includes('text/html');

/** Answers a navigation with the console's page; false when it was none. */
export async function answerNavigation(request: FastifyRequest, reply: FastifyReply, root: string): Promise<boolean> {
  if (!navigates(request)) return false;
  if (existsSync(join(root, 'index.html'))) {
    await reply.type('text/html; charset=utf-8').sendFile('index.html');
  } else {
    await reply.status(503).type('text/html; charset=utf-8').send(NOT_BUILT);
  }
  return true;
}
