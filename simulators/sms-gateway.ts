/** An SMS gateway that behaves like one: takes messages once by reference, delays, refuses, fails, hangs, and reports delivery. */
import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { toIso, type Clock, type Instant, type Milliseconds } from '../src/base/clock.ts';
import { phonePage } from './phone-page.ts';
import { ACCEPTING, readMessage, shown, type Given, type SmsBehaviour, type SmsMessage, type SmsStatus } from './sms-message.ts';

export type { SmsBehaviour, SmsMessage } from './sms-message.ts';

export interface SmsGatewayOptions {
  /** 0 takes a free one. */
  readonly port: number;
  readonly host?: string;
  /** The bearer token that a sender must show; made when absent. */
  readonly token?: string;
  readonly clock: Clock;
}

export interface SmsGateway {
  readonly url: string;
  readonly token: string;
  /** What was taken, in order; without those that were refused. */
  messages(): readonly SmsMessage[];
  /** How often somebody posted with the right token, whatever came of it. */
  posts(): number;
  /** Changes how it behaves for one number, or (without a number) for all that have no behaviour of their own. */
  setBehaviour(behaviour: Partial<SmsBehaviour>, number?: string): void;
  /** Forgets behaviours, not messages. */
  behave(): void;
  stop(): Promise<void>;
}

interface Kept extends SmsMessage {
  posted: number;
  status: SmsStatus;
  statusAt: Instant;
}

const LARGEST = 64 * 1024;
const CALLBACK_TRIES = 3;

/** Starts it on loopback (or `host`). The phone page at `/` needs no token: it is for demonstrations. */
export async function startSmsGateway(options: SmsGatewayOptions): Promise<SmsGateway> {
  const { clock } = options;
  const token = options.token ?? randomBytes(18).toString('base64url');
  const byReference = new Map<string, Kept>();
  const behaviours = new Map<string, SmsBehaviour>();
  const ended = new AbortController();
  // Every report under way listens for the end.
  setMaxListeners(0, ended.signal);
  let general = ACCEPTING;
  let posts = 0;

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (!response.headersSent)
        problem(response, 400, 'bad-request', error instanceof Error ? error.message : 'The request makes no sense.');
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host ?? '127.0.0.1', resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;

  return {
    url: `http://${options.host ?? '127.0.0.1'}:${port}`,
    token,
    messages: () => [...byReference.values()].map((message) => ({ ...message })),
    posts: () => posts,
    setBehaviour: (behaviour, number) => {
      if (number === undefined) general = { ...general, ...behaviour };
      else behaviours.set(number, { ...(behaviours.get(number) ?? general), ...behaviour });
    },
    behave: () => {
      general = ACCEPTING;
      behaviours.clear();
    },
    stop: async () => {
      ended.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://gateway').pathname;
    if (path === '/' && request.method === 'GET') return phonePage(response, [...byReference.values()]);
    if (request.headers.authorization !== `Bearer ${token}`) return problem(response, 401, 'unauthorized', 'Show the bearer token.');
    if (path === '/messages' && request.method === 'POST') return post(response, await bodyOf(request));
    if (path === '/messages' && request.method === 'GET') return json(response, 200, { messages: [...byReference.values()].map(shown) });
    const id = /^\/messages\/([^/]+)$/.exec(path)?.[1];
    const message = [...byReference.values()].find((kept) => kept.id === id);
    if (message === undefined || request.method !== 'GET') return problem(response, 404, 'not-found', 'There is no such message.');
    json(response, 200, shown(message));
  }

  async function post(response: ServerResponse, body: string): Promise<void> {
    posts++;
    const given = readMessage(body);
    if (given === null) return problem(response, 400, 'bad-request', 'Give to, from, text and reference as texts.');
    const { mode, delay, status, code, ...network } = behaviours.get(given.to) ?? general;
    if (delay > 0) await pause(delay);
    if (ended.signal.aborted || mode === 'hang') return;
    if (mode === 'refuse') return problem(response, status, code, 'The message was refused.');
    if (mode === 'error') return problem(response, 500, 'internal', 'The gateway failed.');
    const kept = keep(given, network);
    if (mode === 'take-and-hang') return;
    if (mode === 'take-and-fail') return problem(response, 500, 'internal', 'The gateway failed.');
    json(response, 202, { id: kept.id });
  }

  function keep(given: Given, network: Pick<SmsBehaviour, 'delivery' | 'deliveryAfter'>): Kept {
    const known = byReference.get(given.reference);
    if (known !== undefined) {
      known.posted++;
      return known;
    }
    const { to, from, text, reference, callbackUrl } = given;
    const now = clock.now();
    const id = `sms-${byReference.size + 1}`;
    const kept: Kept = { id, to, from, text, reference, acceptedAt: now, posted: 1, status: 'accepted', statusAt: now };
    byReference.set(reference, kept);
    const become = (status: SmsStatus): void => {
      kept.status = status;
      kept.statusAt = clock.now();
      if (callbackUrl !== null) callBack(callbackUrl, kept, status).catch(() => {});
    };
    clock.after(network.deliveryAfter / 2, () => become('sent'));
    const { delivery } = network;
    if (delivery !== 'never') clock.after(network.deliveryAfter, () => become(delivery));
    return kept;
  }

  /** Tries a few times, as gateways do, then gives up: a report may be lost. */
  async function callBack(url: string, kept: Kept, status: SmsStatus): Promise<void> {
    const report = JSON.stringify({ id: kept.id, reference: kept.reference, status, at: toIso(kept.statusAt) });
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    for (let attempt = 1; attempt <= CALLBACK_TRIES && !ended.signal.aborted; attempt++) {
      const taken = await fetch(url, { method: 'POST', headers, body: report, signal: ended.signal }).then(
        (response) => response.ok,
        () => false,
      );
      if (taken) return;
      await pause(1000);
    }
  }

  function pause(span: Milliseconds): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.after(span, resolve);
      ended.signal.addEventListener('abort', () => {
        timer.cancel();
        resolve();
      });
    });
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > LARGEST) throw new RangeError('The message is too large.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function json(response: ServerResponse, status: number, value: object, type = 'application/json'): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(JSON.stringify(value));
}

function problem(response: ServerResponse, status: number, code: string, detail: string): void {
  json(response, status, { status, code, detail }, 'application/problem+json');
}
