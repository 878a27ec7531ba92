/** Calls to the centre: an answer, a problem with its code, or nobody there. Never throws. */
import type { Clock } from '../../../base/clock.ts';
import { type Problem, readProblem } from '../contract.ts';

export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: Problem }
  /** No answer: the network or the centre is away, and whether the call was carried out is not known. */
  | { readonly ok: false; readonly problem: null };

interface Reply {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
}
export type Fetch = (
  path: string,
  init: { method: string; headers: Record<string, string>; body?: string; signal: AbortSignal },
) => Promise<Reply>;

export interface Api {
  get<T>(path: string): Promise<Answer<T>>;
  post<T>(path: string, body: unknown): Promise<Answer<T>>;
  delete<T>(path: string): Promise<Answer<T>>;
}

const GIVE_UP_MS = 10_000;

/** @param onSignedOut called when the centre says that there is no session (any more) */
export function createApi(fetch: Fetch, clock: Clock, onSignedOut: () => void): Api {
  async function call<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    const abort = new AbortController();
    const timer = clock.after(GIVE_UP_MS, () => abort.abort());
    try {
      const reply = await fetch(path, {
        method,
        signal: abort.signal,
        headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await reply.text();
      const said = parsed(text);
      if (reply.ok) return { ok: true, value: said as T };
      const problem = readProblem(reply.status, said, reply.headers.get('retry-after'));
      if (problem.code === 'no-session') onSignedOut();
      return { ok: false, problem };
    } catch {
      return { ok: false, problem: null };
    } finally {
      timer.cancel();
    }
  }
  return {
    get: (path) => call('GET', path),
    post: (path, body) => call('POST', path, body),
    delete: (path) => call('DELETE', path),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The path of an alarm, and of what hangs on it. */
export const alarmPath = (number: string, rest = ''): string => `/api/v1/alarms/${encodeURIComponent(number)}${rest}`;

/** A key for one act, unique for the account; works on plain http too, where `randomUUID` is missing. */
export function newKey(fill: (bytes: Uint8Array) => Uint8Array): string {
  return Array.from(fill(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
