/** A centre under load with a ledger of its own: devices that repeat until they are acknowledged, and what the database makes of it. */
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MqttDevice, ScaipUnit, registerOf } from '../../support/outside.ts';
import { type ReadyFile, type Scope, admin, sql } from '../../support/process.ts';

/** What every scenario here takes and gives. */
export interface PowerOptions {
  /** How often the fault comes. */
  readonly rounds: number;
  readonly seed: number;
  log(line: string): void;
}
export interface PowerResult {
  /** Faults that were made. */
  readonly cuts: number;
  readonly acknowledged: number;
  /** Acknowledged, and not in the database when all was well again. */
  readonly lost: number;
  /** Messages that count twice, and devices with two alarms of one need. */
  readonly doubled: number;
  readonly seconds: number;
  /** Whatever else was not as promised, a sentence each. */
  readonly faults: readonly string[];
  /** Why this machine cannot do it, and nothing was tried. */
  readonly skipped?: string;
}

export const skipped = (reason: string): PowerResult => ({
  cuts: 0,
  acknowledged: 0,
  lost: 0,
  doubled: 0,
  seconds: 0,
  faults: [],
  skipped: reason,
});

/** Runs work and then everything that it left to be torn down, last first. */
export async function scoped<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
  const after: (() => unknown)[] = [];
  const scope: Scope = { teardown: (one: () => unknown) => void after.push(one) };
  try {
    return await work(scope);
  } finally {
    for (const one of after.toReversed()) await one();
  }
}

/** What chooses moments and sectors, by a seed that is told: mulberry32. */
export function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A temporary folder for a centre's data and for what a scenario needs beside it. */
export function freshFolder(scope: Scope): { base: string; dataDir: string } {
  const base = realpathSync(mkdtempSync(path.join(tmpdir(), 'power-')));
  scope.teardown(() => rmSync(base, { recursive: true, force: true }));
  return { base, dataDir: path.join(base, 'data') };
}

/**
 * The centre's first use: makes its stores and imports a register of `households`; nothing runs afterwards.
 * @throws Error with what the import said
 */
export async function importRegister({ base, dataDir }: { base: string; dataDir: string }, households: number, env = {}): Promise<void> {
  const register = path.join(base, 'register.csv');
  writeFileSync(register, registerOf(households));
  const imported = await admin(dataDir, ['import', register], env);
  if (imported.code !== 0) throw new Error(`the register cannot be imported: ${imported.stderr}${imported.stdout}`);
}

export interface Load {
  /** Ids of messages that a device was told are kept. */
  readonly acknowledged: ReadonlySet<string>;
  readonly tried: ReadonlySet<string>;
  /** Called once, at once, when that many more are acknowledged. */
  after(more: number, tell: () => void): void;
  stop(): Promise<void>;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Each household's MQTT device and SCAIP unit press again and again, one message at a time, the same bytes until acknowledged.
 * @param between pause of each device between two messages, in milliseconds
 */
export function startLoad(scope: Scope, ready: () => ReadyFile | null, households: number, between: number): Load {
  const acknowledged = new Set<string>();
  const tried = new Set<string>();
  let waiting: { at: number; tell: () => void } | null = null;
  let over = false;
  const isOver = (): boolean => over;
  const keepSending = async (name: string, send: (id: string) => Promise<boolean>): Promise<void> => {
    for (let n = 0; !over; n++) {
      const id = `${name}-${n}`;
      tried.add(id);
      if (await send(id)) acknowledged.add(id);
      if (waiting !== null && acknowledged.size >= waiting.at) {
        const { tell } = waiting;
        waiting = null;
        tell();
      }
      await pause(between);
    }
  };
  const sending: Promise<void>[] = [];
  for (let n = 0; n < households; n++) {
    const device = new MqttDevice(ready, `F-${n}`, '1103');
    const unit = new ScaipUnit(ready, String(7000 + n), n % 2 === 0 ? 'udp' : 'tcp');
    scope.teardown(async () => {
      over = true;
      device.close();
      await unit.close();
    });
    const mrq = (ref: string): string => `<mrq><ref>${ref}</ref><cid>${unit.cid}</cid><dty>3</dty><stc>10</stc></mrq>`;
    sending.push(
      keepSending(`f${n}`, (id) => device.press(JSON.stringify({ id, type: 'call-button' }), isOver)),
      keepSending(`u${n}`, (ref) => unit.press(ref, mrq(ref), isOver)),
    );
  }
  return {
    acknowledged,
    tried,
    after(more, tell) {
      waiting = { at: acknowledged.size + more, tell };
    },
    async stop() {
      over = true;
      await Promise.all(sending);
    },
  };
}

export interface Comparison {
  readonly lost: string[];
  readonly doubled: string[];
}

/** Asks the database, past the centre; what is spilled may take until `patience` to be there. */
export async function compare(dataDir: string, load: Pick<Load, 'acknowledged'>, patience = 30_000): Promise<Comparison> {
  const wanted = [...load.acknowledged];
  const end = performance.now() + patience;
  for (;;) {
    const rows = await sql<{ message_id: string }>(dataDir, `select message_id from signal where verdict <> 'duplicate'`).catch(() => null);
    const late = performance.now() > end;
    if (rows === null && late) throw new Error('the database does not answer');
    if (rows !== null) {
      const counts = new Map<string, number>();
      for (const { message_id } of rows) counts.set(message_id, (counts.get(message_id) ?? 0) + 1);
      const lost = wanted.filter((id) => !counts.has(id));
      if (lost.length === 0 || late) return { lost, doubled: await doublesIn(dataDir, counts) };
    }
    await pause(100);
  }
}

/** The load presses the same button all the time and nobody handles it: one need, one alarm, which counts each message once. */
async function doublesIn(dataDir: string, counts: ReadonlyMap<string, number>): Promise<string[]> {
  const messages = [...counts].flatMap(([id, count]) => (count > 1 ? [`message ${id} counts ${count} times`] : []));
  const alarms = await sql<{ device: string; alarms: string }>(
    dataDir,
    `select device, count(*) as alarms from alarm where device ~ '^(F-[0-9]+|70[0-9]+)$' group by device having count(*) > 1`,
  );
  return [...messages, ...alarms.map(({ device, alarms: count }) => `device ${device} has ${count} alarms`)];
}
