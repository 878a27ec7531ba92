/** The service worker's work: the page and its files open without network; what the centre says is never kept here. */

interface WaitingEvent {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchRequest {
  readonly url: string;
  readonly method: string;
  readonly mode: string;
}
interface FetchingEvent extends WaitingEvent {
  readonly request: FetchRequest;
  respondWith(answer: Promise<unknown>): void;
}
interface KeptFiles {
  addAll(paths: readonly string[]): Promise<void>;
  match(request: FetchRequest | string): Promise<unknown>;
  put(request: FetchRequest | string, answer: unknown): Promise<void>;
}
/** As much of a ServiceWorkerGlobalScope as is needed. */
export interface WorkerScope {
  readonly location: { readonly origin: string };
  readonly caches: { open(name: string): Promise<KeptFiles>; keys(): Promise<string[]>; delete(name: string): Promise<boolean> };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  fetch(request: unknown): Promise<{ readonly ok: boolean; clone(): unknown }>;
  addEventListener(type: string, listener: (event: never) => void): void;
}

/** What the build puts in: the files with their hashed names, and a version that changes with them. */
export interface FileList {
  readonly version: string;
  readonly files: readonly string[];
}

const PAGE = '/';
const BESIDE = ['/icon.svg', '/manifest.webmanifest'];

/** `page`: the newest when there is network; `file`: its name changes with its content; `none`: left to the browser. */
export function handling(request: FetchRequest, origin: string, files: readonly string[]): 'page' | 'file' | 'none' {
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== origin) return 'none';
  if (url.pathname.startsWith('/api/') || url.pathname === '/ws') return 'none';
  if (request.mode === 'navigate') return 'page';
  return files.includes(url.pathname) || BESIDE.includes(url.pathname) ? 'file' : 'none';
}

/** Installs the listeners. */
export function keepPage(scope: WorkerScope, { version, files }: FileList): void {
  const name = `console-${version}`;
  async function install(): Promise<void> {
    const cache = await scope.caches.open(name);
    await cache.addAll([PAGE, ...BESIDE, ...files]);
    await scope.skipWaiting();
  }
  async function activate(): Promise<void> {
    const names = await scope.caches.keys();
    await Promise.all(names.filter((other) => other !== name && other.startsWith('console-')).map((other) => scope.caches.delete(other)));
    await scope.clients.claim();
  }
  async function page(request: FetchRequest): Promise<unknown> {
    const cache = await scope.caches.open(name);
    try {
      const answer = await scope.fetch(request);
      if (answer.ok) await cache.put(PAGE, answer.clone());
      return answer;
    } catch (error) {
      const kept = await cache.match(PAGE);
      if (kept === undefined) throw error;
      return kept;
    }
  }
  async function file(request: FetchRequest): Promise<unknown> {
    const cache = await scope.caches.open(name);
    return (await cache.match(request)) ?? (await scope.fetch(request));
  }
  scope.addEventListener('install', (event: WaitingEvent) => event.waitUntil(install()));
  scope.addEventListener('activate', (event: WaitingEvent) => event.waitUntil(activate()));
  scope.addEventListener('fetch', (event: FetchingEvent) => {
    const how = handling(event.request, scope.location.origin, files);
    if (how !== 'none') event.respondWith(how === 'page' ? page(event.request) : file(event.request));
  });
}
