/** One console process' connection to one intake process: kept up, listened to, and given up when it falls silent. */
import { type Socket, connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { DirectNews } from '../alarms/provisional.ts';
import type { Clock, Instant, Milliseconds, Timer } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Viewer } from '../people/access.ts';
import type { ClaimAnswer, DirectNode } from './direct.ts';
import { Lines, claimLine, helloLine, readLine } from './direct-lines.ts';

/** An intake process says something every 2 s: whoever says nothing for this long is not there. */
const SILENT_MS: Milliseconds = 5000;
const CLAIM_MS: Milliseconds = 3000;
const CLAIMS_AT_ONCE = 500;
const RETRY_FIRST_MS: Milliseconds = 200;
const RETRY_LAST_MS: Milliseconds = 3000;

export interface LinkParts {
  readonly node: DirectNode;
  /** Null while it is not known. */
  readonly token: () => string | null;
  readonly news: (news: DirectNews) => void;
  /** It was there, and is not any more. */
  readonly lost: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface Asked {
  readonly answer: (answer: ClaimAnswer) => void;
  readonly timer: Timer;
}

export class DirectLink {
  readonly #parts: LinkParts;
  #node: DirectNode;
  #socket: Socket | null = null;
  #connected = false;
  #failed = false;
  #tries = 0;
  #asks = 0;
  #stopped = false;
  #silence: Timer | null = null;
  #retry: Timer | null = null;
  readonly #asked = new Map<string, Asked>();

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.#node = parts.node;
    this.#connect();
  }

  get node(): DirectNode {
    return this.#node;
  }

  /** It has told all that it holds, and is heard. */
  get connected(): boolean {
    return this.#connected;
  }

  /** The address or the certificate as they are announced now; taken when it connects next, at once while it is not connected. */
  readdress(node: DirectNode): void {
    const same = node.direct === this.#node.direct && node.directSha256 === this.#node.directSha256;
    this.#node = node;
    if (same || this.#connected) return;
    this.#tries = 0;
    this.#end('readdressed');
  }

  /** Never rejects. An answer that does not come leaves it open whether the claim was recorded. */
  async claim(number: string, viewer: Pick<Viewer, 'account' | 'roles'>, at: Instant): Promise<ClaimAnswer> {
    const socket = this.#socket;
    if (!this.#connected || socket === null || this.#asked.size >= CLAIMS_AT_ONCE) return { refused: 'intake-away' };
    const ask = String(++this.#asks);
    return new Promise((resolve) => {
      const timer = this.#parts.clock.after(CLAIM_MS, () => this.#answer(ask, { refused: 'intake-away' }));
      this.#asked.set(ask, { answer: resolve, timer });
      socket.write(claimLine(ask, number, viewer, at));
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#retry?.cancel();
    this.#end('stopped');
  }

  #connect(): void {
    this.#retry = null;
    const token = this.#parts.token();
    const address = addressOf(this.#node.direct);
    if (token === null || address === null) return this.#later();
    const pin = this.#node.directSha256;
    const lines = new Lines();
    // The certificate is the centre's own and known by its digest: no authority need vouch for it.
    const socket = pin === null ? connectTcp(address) : connectTls({ ...address, rejectUnauthorized: false });
    this.#socket = socket;
    const here = (run: () => void): void => {
      if (this.#socket === socket) run();
    };
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => here(() => this.#end('closed')));
    socket.on('data', (piece: Buffer) => here(() => this.#hear(lines.take(piece))));
    if (pin === null) socket.on('connect', () => here(() => void socket.write(helloLine(token))));
    else {
      socket.on('secureConnect', () =>
        here(() => {
          const shown =
            'getPeerCertificate' in socket ? (socket.getPeerCertificate() as { fingerprint256?: string }).fingerprint256 : undefined;
          // The token goes only to whom the database names.
          if (shown !== undefined && plain(shown) === plain(pin)) socket.write(helloLine(token));
          else this.#end('certificate');
        }),
      );
    }
    this.#listenFor(SILENT_MS);
  }

  #hear(lines: readonly string[] | null): void {
    const socket = this.#socket;
    if (lines === null) return this.#end('too-long');
    if (lines.length > 0) this.#listenFor(SILENT_MS);
    for (const written of lines) {
      if (this.#socket !== socket) return;
      const read = readLine(written);
      if (read.line === 'garbage') return this.#end('garbage');
      if (read.line === 'answer') this.#answer(read.ask, read.result);
      if (read.line === 'news') this.#tell(read.news, read.unread);
    }
  }

  #tell(news: DirectNews, unread: number): void {
    if (unread > 0) this.#parts.log.error('direct-alarms-unreadable', { source: this.#node.id, count: unread });
    if (!this.#connected) {
      // What comes before the whole says nothing about what else there is.
      if (news.news !== 'whole') return this.#end('no-whole');
      this.#connected = true;
      this.#failed = false;
      this.#tries = 0;
      this.#parts.log.info('direct-connected', { source: this.#node.id, count: news.alarms.length });
    }
    this.#parts.news(news);
  }

  #answer(ask: string, answer: ClaimAnswer): void {
    const asked = this.#asked.get(ask);
    if (asked === undefined) return;
    this.#asked.delete(ask);
    asked.timer.cancel();
    asked.answer(answer);
  }

  #listenFor(span: Milliseconds): void {
    this.#silence?.cancel();
    this.#silence = this.#parts.clock.after(span, () => this.#end('silent'));
  }

  /** Ends the connection, and begins another later. */
  #end(code: string): void {
    this.#silence?.cancel();
    const socket = this.#socket;
    this.#socket = null;
    socket?.destroy();
    for (const ask of [...this.#asked.keys()]) this.#answer(ask, { refused: 'intake-away' });
    const was = this.#connected;
    this.#connected = false;
    if (!this.#stopped && (was || !this.#failed)) this.#parts.log.warn('direct-not-connected', { source: this.#node.id, code });
    this.#failed = true;
    if (was) this.#parts.lost();
    if (!this.#stopped) this.#later();
  }

  #later(): void {
    const { clock, random } = this.#parts;
    this.#retry?.cancel();
    const most = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** Math.min(this.#tries, 10));
    this.#tries += 1;
    // Up to half is taken off, so that the consoles do not all come back in the same instant.
    const [chance = 0] = random(1);
    this.#retry = clock.after(Math.round(most * (1 - chance / 512)), () => this.#connect());
  }
}

/** Of `host:port`, `[address]:port` or either behind a scheme; null for anything else. */
export function addressOf(direct: string): { readonly host: string; readonly port: number } | null {
  const found = /^(?:[a-z]+:\/\/)?(?:\[([^\]]+)\]|([^:/[\]]+)):(\d{1,5})\/?$/.exec(direct);
  const host = found?.[1] ?? found?.[2];
  const port = Number(found?.[3]);
  return host === undefined || port < 1 || port > 65_535 ? null : { host, port };
}

const plain = (digest: string): string => digest.replaceAll(':', '').toLowerCase();
