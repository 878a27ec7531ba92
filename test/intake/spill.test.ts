/** The spill without a centre around it: its file under torn writes, flipped bits and full disks, its modes, its replay, its stream. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type Socket, createConnection } from 'node:net';
import { cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import diagnosticsChannel from 'node:diagnostics_channel';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { admit, joiningKey } from '../../src/alarms/correlate.ts';
import type { DeskAnswer } from '../../src/alarms/desk.ts';
import type { Alias, DirectNews, ProvisionalAlarm } from '../../src/alarms/provisional.ts';
import { provisionalNumber, provisionalOf } from '../../src/alarms/provisional.ts';
import type { Signal } from '../../src/alarms/signal.ts';
import { MovableClock, RunningClock, minutes } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { createLog } from '../../src/base/log.ts';
import { DIRECT_LIMITS, HELLO_WITHIN_MS, startDirectStream } from '../../src/intake/direct-stream.ts';
import type { Holding } from '../../src/intake/hold.ts';
import { type LiveKeeper, type Receipt, type SignalStore, createKeeper } from '../../src/intake/keep.ts';
import { holdingOrSpill } from '../../src/intake/spill-hold.ts';
import type { OpenedSpill } from '../../src/intake/spill-log.ts';
import { type SpillEvent, type SpillMode, modeAfter, quietAfter } from '../../src/intake/spill-mode.ts';
import { decodeClaim, decodeSignal, encodeClaim, encodeSignal } from '../../src/intake/spill-record.ts';
import { type OrderClaim, type SpillStore, createReplay } from '../../src/intake/spill-replay.ts';
import { GRACE_MS, notBefore } from '../../src/intake/spill-waits.ts';
import { createProvisionalAlarms } from '../../src/intake/spill-provisional.ts';
import { type Spill, createSpill } from '../../src/intake/spill.ts';
import { openSpillFile } from '../../src/store/spill-file.ts';
import { createSpillStore } from '../../src/store/spill-replay.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { START, ladderFor, openedBy, signal, take } from '../support/alarms.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const clock = new RunningClock();
const MB = 1024 * 1024;
const BROKEN = { message: 'the spill cannot be written' } as const;

function folder(t: Test): string {
  const made = mkdtempSync(path.join(tmpdir(), 'spill-test-'));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return path.join(made, 'spill');
}

/** Log lines as they would be written, with the level. */
function recorder() {
  const events: string[] = [];
  const log = createLog('debug', {
    write: (line) => void events.push(((e) => `${e.level} ${e.event}`)(JSON.parse(line) as { level: string; event: string })),
  });
  return { log, events };
}

const opened = (at: string, log = SILENT, maxBytes = 64 * MB, segmentBytes?: number): Promise<OpenedSpill> =>
  openSpillFile({ folder: at, maxBytes, clock, log, ...(segmentBytes === undefined ? {} : { segmentBytes }) });
const bytes = (text: string): Buffer => Buffer.from(text);
const texts = ({ entries }: OpenedSpill): string[] => entries.map(({ payload }) => Buffer.from(payload).toString());
const segments = (at: string): string[] =>
  readdirSync(at)
    .filter((name) => name.endsWith('.spill'))
    .toSorted();

await t.test('the file: what was answered is there again, in order, until it is done', async (t) => {
  const at = folder(t);
  let file = await opened(at);
  const seqs = await Promise.all(['one', 'two', 'three'].map((text) => file.log.append('signal', bytes(text))));
  t.same(
    seqs.toSorted((a, b) => a - b),
    seqs,
  );
  await file.log.append('claim', bytes('four'));
  await file.log.done(seqs[0]!);
  await file.log.stop();
  t.equal(statSync(at).mode & 0o777, 0o700);
  t.equal(statSync(path.join(at, segments(at)[0]!)).mode & 0o777, 0o600);
  file = await opened(at);
  t.same(texts(file), ['two', 'three', 'four']);
  t.same(
    file.entries.map(({ kind }) => kind),
    ['signal', 'signal', 'claim'],
  );
  const last = await file.log.append('signal', bytes('five'));
  t.ok(last > file.entries.at(-1)!.seq, 'numbers go on');
  await file.log.done(last);
  t.equal(segments(at).length, 1);
  t.ok(statSync(path.join(at, segments(at)[0]!)).size < 100, 'nothing of anybody is left');
  await file.log.stop();
  file = await opened(at);
  t.same(texts(file), []);
  t.ok((await file.log.append('signal', bytes('six'))) > last, 'also after all was done');
  await file.log.stop();
});

await t.test('the file: many appends share a sync, and segments rotate', async (t) => {
  const at = folder(t);
  const file = await opened(at, SILENT, 64 * MB, 4096);
  let syncs = 0;
  const count = (): void => void syncs++;
  diagnosticsChannel.subscribe('responssenter:before-spill-sync', count);
  await Promise.all(Array.from({ length: 500 }, (_, n) => file.log.append('signal', bytes(`signal ${n}`))));
  diagnosticsChannel.unsubscribe('responssenter:before-spill-sync', count);
  t.ok(syncs <= 3, `${syncs} syncs for 500 appends`);
  for (let n = 0; n < 20; n++) await file.log.append('signal', Buffer.alloc(1000, 97));
  t.ok(segments(at).length > 3, 'several segments');
  await file.log.stop();
  const again = await opened(at);
  t.equal(again.entries.length, 520);
  t.same(
    texts(again).slice(0, 500),
    Array.from({ length: 500 }, (_, n) => `signal ${n}`),
  );
  await again.log.done(again.entries[510]!.seq);
  t.equal((await opened(at)).entries.length, 9);
  await again.log.stop();
});

await t.test('the file: torn at every byte of its last record, it is cut off there, each time the same', async (t) => {
  const at = folder(t);
  const file = await opened(at);
  await file.log.append('signal', bytes('whole'));
  await file.log.stop();
  const name = segments(at)[0]!;
  const before = statSync(path.join(at, name)).size;
  const more = await opened(at);
  await more.log.append('signal', bytes('the last one'));
  await more.log.stop();
  // Into the one segment, as a run that was not stopped between would have it.
  const tail = readFileSync(path.join(at, segments(at).at(-1)!));
  const whole = Buffer.concat([readFileSync(path.join(at, name)), tail.subarray(tail.indexOf('RSP1', 5, 'latin1'))]);
  for (let length = before; length < whole.length; length++) {
    const here = path.join(path.dirname(at), `torn-${length}`);
    mkdirSync(here);
    writeFileSync(path.join(here, name), whole.subarray(0, length));
    const { log, events } = recorder();
    const cut = await opened(here, log);
    t.same(texts(cut), ['whole'], `torn at ${length}`);
    t.equal(statSync(path.join(here, name)).size, before);
    t.same(
      events.filter((event) => event.startsWith('error')),
      [],
    );
    await cut.log.append('signal', bytes('next'));
    await cut.log.stop();
    const twice = await opened(here);
    t.same(texts(twice), ['whole', 'next']);
    await twice.log.stop();
    rmSync(here, { recursive: true });
  }
  const zeros = path.join(path.dirname(at), 'zeros');
  mkdirSync(zeros);
  writeFileSync(path.join(zeros, name), Buffer.concat([whole, Buffer.alloc(3000)]));
  t.same(texts(await opened(zeros)), ['whole', 'the last one'], 'promised bytes that were never written');
});

await t.test('the file: a flipped bit anywhere is told, what is behind it is found, and the segment is kept', async (t) => {
  const at = folder(t);
  const file = await opened(at);
  const sizes: number[] = [];
  for (const text of ['first', 'second', 'third']) {
    await file.log.append('signal', bytes(text));
    sizes.push(statSync(path.join(at, segments(at)[0]!)).size);
  }
  await file.log.stop();
  const name = segments(at)[0]!;
  const whole = readFileSync(path.join(at, name));
  for (const [from, to, left] of [
    [sizes[0]!, sizes[1]!, ['first', 'third']],
    [sizes[1]!, sizes[2]!, ['first', 'second']],
  ] as const) {
    for (let byte = from; byte < to; byte++) {
      const here = path.join(path.dirname(at), `flip-${byte}`);
      mkdirSync(here);
      const flipped = Buffer.from(whole);
      flipped[byte] = flipped[byte]! ^ (1 << (byte % 8));
      writeFileSync(path.join(here, name), flipped);
      const { log, events } = recorder();
      const damaged = await opened(here, log);
      t.same(texts(damaged), left, `bit of byte ${byte}`);
      t.ok(events.includes('error spill-segment-damaged'), 'it is told');
      t.equal(damaged.log.state().aside, 1);
      await damaged.log.done(damaged.entries.at(-1)!.seq);
      await damaged.log.stop();
      t.same(
        readdirSync(here).filter((one) => one.endsWith('.damaged')),
        [`${name}.damaged`],
        'nothing is thrown away',
      );
      t.equal((await opened(here)).log.state().aside, 1);
      rmSync(here, { recursive: true });
    }
  }
});

await t.test('the file: at its bound it takes nothing, technical signals less, and it takes again when there is room', async (t) => {
  const file = await opened(folder(t), SILENT, 64 * 1024);
  const append = (spare = 0): Promise<string> =>
    file.log.append('signal', Buffer.alloc(1000), spare).then(
      () => 'kept',
      (error: { fault: string }) => error.fault,
    );
  const results: string[] = [];
  for (let n = 0; n < 50; n++) results.push(await append(0.25));
  t.equal(results.at(-1), 'full');
  const technical = results.filter((one) => one === 'kept').length;
  t.equal(file.log.state().fault, null, 'while it takes calls for help it is not full: a load balancer must not take it out');
  let last = 0;
  while ((await append()) === 'kept') last += 1;
  t.ok(last >= 14 && technical > 40, `${technical} technical ones, then ${last} calls for help`);
  t.equal(file.log.state().fault, 'full');
  t.ok(await file.log.append('claim', bytes('{}')), 'what is in can be claimed');
  t.equal(file.log.state().fault, 'full', 'and it is full all the same');
  t.ok(file.log.state().bytes < 66 * 1024);
  await file.log.done(Number.MAX_SAFE_INTEGER / 64);
  t.equal(file.log.state().fault, null);
  t.equal(await append(), 'kept');
  await file.log.stop();
});

await t.test('the file: after a failed sync nothing is answered, and its descriptor is never used again', async (t) => {
  const at = folder(t);
  const { log, events } = recorder();
  const file = await opened(at, log);
  await file.log.append('signal', bytes('before'));
  const handle = await open(path.join(at, segments(at)[0]!));
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  // eslint-disable-next-line @typescript-eslint/unbound-method -- put back, and called with its own `this`
  const { datasync } = prototype;
  let failures = 2;
  prototype.datasync = function (this: FileHandle) {
    return failures-- > 0 ? Promise.reject(Object.assign(new Error('injected'), { code: 'EIO' })) : datasync.call(this);
  };
  t.teardown(() => void (prototype.datasync = datasync));
  const lost = await Promise.allSettled(['a', 'b'].map((text) => file.log.append('signal', bytes(text))));
  t.same(
    lost.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  t.equal(file.log.state().fault, 'broken');
  await t.rejects(file.log.append('signal', bytes('c')), BROKEN, 'the next segment cannot be synced either');
  t.ok(await file.log.append('signal', bytes('after')));
  t.equal(file.log.state().fault, null);
  t.equal(segments(at).length, 2, 'a new segment');
  await file.log.stop();
  t.same(events, ['error spill-not-writable', 'warn spill-writable-again']);
  const again = await opened(at, log);
  t.same(texts(again), ['before', 'after']);
  t.same(
    events.filter((event) => event.includes('damaged')),
    [],
  );
  await again.log.stop();
});

/** From now on the disk does not answer, until it is let go. */
async function hang(t: Test, at: string): Promise<() => void> {
  const handle = await open(path.join(at, segments(at)[0]!));
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  // eslint-disable-next-line @typescript-eslint/unbound-method -- put back, and called with its own `this`
  const { datasync } = prototype;
  let letGo = (): void => {};
  const gone = new Promise<void>((resolve) => (letGo = resolve));
  prototype.datasync = async function (this: FileHandle) {
    await gone;
    await datasync.call(this);
  };
  const ends = (): void => {
    prototype.datasync = datasync;
    letGo();
  };
  t.teardown(ends);
  return ends;
}

await t.test('the file: of a disk that hangs, what waits is refused after 5 s, and is not there when it answers after all', async (t) => {
  const at = folder(t);
  const time = new MovableClock();
  const { log, events } = recorder();
  const file = await openSpillFile({ folder: at, maxBytes: 64 * MB, clock: time, log });
  await file.log.append('signal', bytes('before'));
  const letGo = await hang(t, at);
  const results: string[] = [];
  const append = (text: string): void =>
    void file.log.append('signal', bytes(text)).then(
      () => results.push(`${text} kept`),
      (error: Error) => results.push(`${text}: ${error.message}`),
    );
  append('in hand');
  await new Promise((resolve) => setImmediate(resolve));
  append('waits');
  await time.advance(4900);
  t.same(results, []);
  await time.advance(200);
  const refused = ['in hand', 'waits'].map((text) => `${text}: ${BROKEN.message}`);
  t.same(results, refused);
  t.equal(file.log.state().fault, 'broken');
  await t.rejects(file.log.append('signal', bytes('at once')), BROKEN);
  letGo();
  await until('it can be written again', () => file.log.state().fault === null);
  await file.log.append('signal', bytes('after'));
  t.same(results, refused, 'refused stays refused');
  await file.log.stop();
  t.same(events, ['error spill-not-writable', 'warn spill-writable-again']);
  const again = await opened(at);
  t.same(texts(again), ['before', 'after']);
  await again.log.stop();
});

await t.test('the file: of what waits for a slow disk it takes 16 MiB, and answers nothing before the disk', async (t) => {
  const at = folder(t);
  const file = await opened(at);
  const letGo = await hang(t, at);
  const PAYLOAD = 32 * 1024;
  const answers: string[] = [];
  const append = (): void =>
    void file.log.append('signal', Buffer.alloc(PAYLOAD)).then(
      () => answers.push('kept'),
      (error: { fault: string }) => answers.push(error.fault),
    );
  const most = (16 * MB) / PAYLOAD;
  for (let n = 0; n < most + 10; n++) append();
  await new Promise((resolve) => setImmediate(resolve));
  t.ok(answers.length >= 10 && answers.length < 15, `${answers.length} refused`);
  t.ok(answers.every((answer) => answer === 'broken'));
  const refused = answers.length;
  letGo();
  await until('all are answered', () => answers.length === most + 10);
  t.equal(answers.filter((answer) => answer === 'kept').length, most + 10 - refused, 'what was taken on is durable');
  append();
  await until('it takes again', () => answers.length === most + 11);
  t.equal(answers.at(-1), 'kept');
  await file.log.stop();
});

await t.test('the file: a disk that hangs does not keep the process from stopping', async (t) => {
  const at = folder(t);
  const time = new MovableClock();
  const file = await openSpillFile({ folder: at, maxBytes: 64 * MB, clock: time, log: SILENT });
  await hang(t, at);
  const refused = t.rejects(file.log.append('signal', bytes('x')), BROKEN);
  await new Promise((resolve) => setImmediate(resolve));
  const stopped = file.log.stop();
  await time.advance(5100);
  await stopped;
  await refused;
});

const small = mkdtempSync(path.join(tmpdir(), 'spill-full-'));
t.teardown(() => {
  spawnSync('umount', ['-l', small]);
  rmSync(small, { recursive: true, force: true });
});
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small]).status === 0;
const noDisk = mounted ? false : 'a small file system can only be mounted by root';

await t.test('the file: a full disk', { skip: noDisk }, async (t) => {
  const at = small;
  const { log, events } = recorder();
  const file = await opened(path.join(at, 'spill'), log, 64 * MB, 16 * 1024);
  let kept = 0;
  const append = (): Promise<boolean> =>
    file.log.append('signal', Buffer.alloc(1000, 98)).then(
      () => true,
      () => false,
    );
  while (await append()) kept += 1;
  t.ok(kept > 150, `${kept} were kept`);
  t.equal(file.log.state().fault, 'broken');
  t.same(events, ['error spill-not-writable'], 'told once');
  t.notOk(await append());
  t.equal((await opened(path.join(at, 'spill'))).entries.length, kept, 'all that was answered is there');
  await file.log.done(Number.MAX_SAFE_INTEGER / 64);
  t.ok(await until('there is room again', append), 'what PostgreSQL has gives its room back');
  await file.log.stop();
});

await t.test('the file: a folder that cannot be used is told, and the centre starts', async (t) => {
  const at = folder(t);
  writeFileSync(at, 'no folder');
  const { log, events } = recorder();
  const file = await opened(at, log);
  t.same(events, ['error spill-folder-not-usable']);
  t.equal(file.log.state().fault, 'broken');
  await t.rejects(file.log.append('signal', bytes('x')), BROKEN);
  await file.log.stop();
});

await t.test('the modes', (t) => {
  const table: Record<SpillMode, Record<SpillEvent, SpillMode>> = {
    live: { 'no-commit': 'spilling', committed: 'live', failed: 'live', 'nearly-empty': 'live', empty: 'live' },
    spilling: { 'no-commit': 'spilling', committed: 'replaying', failed: 'spilling', 'nearly-empty': 'spilling', empty: 'spilling' },
    replaying: {
      'no-commit': 'spilling',
      committed: 'replaying',
      failed: 'spilling',
      'nearly-empty': 'handing-over',
      empty: 'handing-over',
    },
    'handing-over': {
      'no-commit': 'spilling',
      committed: 'handing-over',
      failed: 'spilling',
      'nearly-empty': 'handing-over',
      empty: 'live',
    },
  };
  for (const [mode, events] of Object.entries(table) as [SpillMode, Record<SpillEvent, SpillMode>][]) {
    for (const [event, after] of Object.entries(events) as [SpillEvent, SpillMode][])
      t.equal(modeAfter(mode, event), after, `${mode}: ${event}`);
  }
  t.equal(quietAfter(300, { waiting: true, committed: false, elapsed: 100 }), 400);
  t.equal(quietAfter(900, { waiting: true, committed: true, elapsed: 100 }), 0, 'slow, and not away');
  t.equal(quietAfter(900, { waiting: false, committed: false, elapsed: 100 }), 0, 'nobody waits');
  t.equal(quietAfter(0, { waiting: true, committed: false, elapsed: 30_000 }), 150, 'the process stood still itself');
  t.end();
});

await t.test('records are read as they were written, also by a version that knows more', (t) => {
  const one = signal(
    { text: 'é\u0000\ud800 "', position: { lat: 1, lon: 2 } },
    { marks: ['no-id'], messageId: null, raw: Buffer.from([0, 255, 10]) },
  );
  t.same(decodeSignal(encodeSignal(one)), { ...one, digest: Buffer.from(one.digest) });
  const claim = { number: 'F-1', account: 'kari', roles: ['operator' as const], at: START };
  t.same(decodeClaim(encodeClaim(claim)), claim);
  t.equal(decodeSignal(bytes('{"id":"x"}')), null);
  t.equal(decodeSignal(bytes('no json')), null);
  t.equal(decodeClaim(bytes('[]')), null);
  const { meaning: _meaning, marks: _marks, ...rest } = JSON.parse(Buffer.from(encodeSignal(one)).toString()) as Record<string, unknown>;
  t.match(decodeSignal(bytes(JSON.stringify(rest))), { meaning: { role: 'unreadable' }, marks: ['processing-failed'] });
  t.end();
});

await t.test('waits count from when it came, and end a moment after the replay when that has passed', (t) => {
  const admission = take(signal());
  const early = notBefore(admission, START + 1000);
  t.same(early, admission, 'not yet due: as ever');
  const late = notBefore(admission, START + minutes(10) + GRACE_MS);
  t.equal(late.decided?.alarm.waits.unclaimed, START + minutes(10) + GRACE_MS);
  t.equal(late.decided?.entries.at(-1)?.arms.unclaimed, START + minutes(10) + GRACE_MS, 'the row follows from the timeline');
  t.equal(late.decided?.alarm.openedAt, START);
  const open = openedBy();
  const joined = notBefore(take(signal(), { open }), START + minutes(10));
  t.equal(joined.decided?.alarm.waits.unclaimed, open.waits.unclaimed, 'what was armed before is due as it was');
  t.end();
});

/** A PostgreSQL that a test can take away, or let commit and not say so. */
class FakeStore implements SignalStore, SpillStore {
  away = false;
  /** Commits, and the answer is lost. */
  mute = false;
  poison = new Set<string>();
  /** Joining keys that somebody holds, or of which a row is damaged. */
  readonly locked = new Map<string, 'household-locked' | 'household-failing'>();
  readonly rows: Signal[] = [];
  readonly aliases = new Map<string, Alias>();
  doubled = 0;
  unbearable: (one: Signal) => boolean = () => false;

  keep(signals: readonly Signal[]): Promise<Receipt[]> {
    return this.#do(() => {
      if (signals.some(({ id, meaning }) => this.poison.has(id) && meaning.kind !== 'unreadable')) throw new TypeError('poison');
      if (signals.some(this.unbearable)) throw new RangeError('not even as bytes');
      const code = signals.map((one) => this.locked.get(joiningKey(one))).find((found) => found !== undefined);
      if (code !== undefined) throw new CentreError(code, 'locked, or damaged');
      for (const one of signals) {
        // Tried again after its answer was lost, a live signal is a duplicate for the rules; replaying must have looked before.
        if (!this.rows.some(({ id }) => id === one.id)) this.rows.push(one);
        else if (one.marks.includes('spilled')) this.doubled += 1;
      }
      return signals.map(({ id }) => ({ verdict: 'opened', alarm: String(this.rows.findIndex((row) => row.id === id) + 1) }));
    });
  }
  known(ids: readonly string[]): Promise<ReadonlyMap<string, string | null>> {
    return this.#do(() => new Map(this.rows.flatMap(({ id }, index) => (ids.includes(id) ? [[id, String(index + 1)]] : []))));
  }
  name(aliases: readonly ({ number: string } & Alias)[]): Promise<void> {
    return this.#do(() => {
      for (const { number, alarm, claim } of aliases) this.aliases.set(number, { alarm, claim: this.aliases.get(number)?.claim ?? claim });
    });
  }
  probe(): Promise<void> {
    return this.#do(() => {});
  }
  aliasOf(number: string): Promise<Alias | null> {
    return this.#do(() => this.aliases.get(number) ?? null);
  }

  async #do<T>(work: () => T): Promise<T> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.away) throw new CentreError('store-away', 'away');
    const result = work();
    if (this.mute) throw new CentreError('store-away', 'the answer was lost');
    return result;
  }
}

interface Run {
  readonly spill: Spill;
  readonly file: OpenedSpill;
  readonly clock: MovableClock;
  readonly news: DirectNews[];
  readonly ordered: string[];
  /** Moves time on, and gives the disk its turns. */
  pass(ms: number): Promise<void>;
}

async function begin(
  at: string,
  store: FakeStore,
  answer: DeskAnswer = { refused: 'taken-by-another', by: 'ola' },
  alive = { is: true },
): Promise<Run> {
  const time = new MovableClock();
  const file = await openSpillFile({ folder: at, maxBytes: 4 * MB, clock: time, log: SILENT });
  const ordered: string[] = [];
  const order: OrderClaim = (alarm, { account, number }) => {
    ordered.push(`${alarm} ${account} ${number}`);
    return Promise.resolve(answer);
  };
  const never = <T>(work: () => Promise<T>): Promise<T> => (alive.is ? work() : new Promise<T>(() => {}));
  const dying: SignalStore & SpillStore = {
    keep: (signals) => never(() => store.keep(signals)),
    known: (ids) => never(() => store.known(ids)),
    name: (aliases) => never(() => store.name(aliases)),
    aliasOf: (number) => never(() => store.aliasOf(number)),
    probe: () => never(() => store.probe()),
  };
  const live: LiveKeeper = createKeeper({ store: dying, ladderFor, keyOf: joiningKey, log: SILENT });
  const spill = createSpill({
    opened: file,
    live,
    replayWith: (provisional) =>
      createReplay({
        signals: dying,
        store: dying,
        admit: (one, situation, newNumber) => admit(one, situation, ladderFor, newNumber),
        order,
        file: file.log,
        provisional,
        clock: time,
        log: SILENT,
      }),
    clock: time,
    log: SILENT,
  });
  const news: DirectNews[] = [];
  spill.listen((one) => void news.push(one));
  return {
    spill,
    file,
    clock: time,
    news,
    ordered,
    async pass(ms) {
      for (let passed = 0; passed < ms; passed += 50) {
        await time.advance(50);
        for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
        statSync(at);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
  };
}

/** Lets time pass until all is taken over. */
const live = (run: Run): Promise<unknown> =>
  until('live', async () => {
    await run.pass(100);
    return run.spill.counts().mode === 'live' && run.spill.waiting() === 0;
  });

const of = (source: string, more: Partial<Signal> = {}): Signal =>
  signal({}, { source: `mqtt:${source}`, device: source, household: null, ...more });

await t.test('live, away, replayed, live: in order, under one number, with the claim', async (t) => {
  const store = new FakeStore();
  const run = await begin(folder(t), store);
  t.match(await run.spill.keep(of('A')), { verdict: 'opened', alarm: '1' });
  store.away = true;
  const short = run.spill.keep(of('A'));
  await run.pass(600);
  store.away = false;
  await run.pass(200);
  t.match(await short, { verdict: 'opened' }, 'a short absence is bridged');
  t.same(run.news, []);

  store.away = true;
  const [one, two, three] = [of('A'), of('B'), of('A')];
  const kept = [one, two, three].map((each) => run.spill.keep(each));
  await run.pass(1300);
  t.same(await Promise.all(kept), [
    { verdict: 'spilled', alarm: provisionalNumber(one.id), first: true },
    { verdict: 'spilled', alarm: provisionalNumber(two.id), first: true },
    { verdict: 'spilled', alarm: provisionalNumber(three.id), first: false },
  ]);
  t.ok(run.spill.storeAway());
  t.match(run.spill.counts(), { mode: 'spilling', signals: 3, spilled: 3, oldestAt: START });
  const again = await run.spill.keep({ ...three, id: of('A').id });
  t.match(again, { alarm: provisionalNumber(three.id) }, 'what comes again gets the same number');
  t.same(
    run.spill.provisional().map(({ number }) => number),
    [one, two, three].map(({ id }) => provisionalNumber(id)),
  );

  const number = provisionalNumber(two.id);
  const claims = await Promise.all(['kari', 'ola'].map((account) => run.spill.claim(number, { account, roles: ['operator'] }, START)));
  t.match(claims, [{ claimed: { claimedBy: 'kari' } }, { refused: 'taken-by-another', by: 'kari' }]);
  t.same(await run.spill.claim('F-00000000', { account: 'ola', roles: [] }, START), { refused: 'unknown-alarm' });

  store.away = false;
  await live(run);
  t.equal(run.spill.counts().mode, 'live');
  t.same(
    store.rows
      .slice(2)
      .map(({ id }) => id)
      .slice(0, 3),
    [one.id, two.id, three.id],
  );
  t.ok(store.rows.slice(2).every(({ marks }) => marks.includes('spilled')));
  t.same(run.ordered, [`4 kari ${number}`]);
  t.same(
    run.news.filter((news) => news.news === 'replayed').map((news) => [news.number, news.alarm, news.claim]),
    [
      [provisionalNumber(one.id), '3', null],
      [number, '4', { by: 'kari', result: 'refused', code: 'taken-by-another' }],
      [provisionalNumber(three.id), '5', null],
    ],
  );
  t.same(store.aliases.get(number), { alarm: '4', claim: { by: 'kari', result: 'refused', code: 'taken-by-another' } });
  t.same(await run.spill.claim(number, { account: 'ola', roles: [] }, START), { refused: 'gone', alarm: '4' });
  t.match(await run.spill.keep(of('A')), { verdict: 'opened' });
  await run.spill.stop();
});

await t.test('a start finds claims and signals; a claim whose signal went over before finds its alarm by the alias', async (t) => {
  const at = folder(t);
  const store = new FakeStore();
  store.away = true;
  const run = await begin(at, store);
  const one = of('A');
  const kept = run.spill.keep(one);
  await run.pass(1300);
  await kept;
  await run.spill.claim(provisionalNumber(one.id), { account: 'kari', roles: ['operator'] }, START);
  await run.spill.stop();
  const second = await begin(at, store, { refused: 'already-closed' });
  t.match(second.spill.provisional(), [{ claimedBy: 'kari' }], 'shown as claimed');
  t.same(await second.spill.claim(provisionalNumber(one.id), { account: 'ola', roles: [] }, START), {
    refused: 'taken-by-another',
    by: 'kari',
  });
  await second.spill.stop();

  // The mark of the signal was written, that of the claim was not.
  const between = await opened(at);
  await between.log.done(between.entries[0]!.seq);
  await between.log.stop();
  store.away = false;
  store.aliases.set(provisionalNumber(one.id), { alarm: '77', claim: null });
  const third = await begin(at, store);
  await live(third);
  t.same(third.ordered, [`77 kari ${provisionalNumber(one.id)}`]);
  t.equal(third.spill.counts().mode, 'live');
  await third.spill.stop();
});

await t.test('a claim that was refused stays refused, also when the process died before it was done with the batch', async (t) => {
  const at = folder(t);
  const before = path.join(folder(t), 'before');
  const store = new FakeStore();
  store.away = true;
  const run = await begin(at, store);
  const one = of('A');
  const number = provisionalNumber(one.id);
  const kept = run.spill.keep(one);
  await run.pass(1300);
  await kept;
  await run.spill.claim(number, { account: 'kari', roles: ['operator'] }, START);
  cpSync(at, before, { recursive: true });
  store.away = false;
  await live(run);
  await run.spill.stop();
  t.equal(run.ordered.length, 1);
  t.equal(store.aliases.get(number)?.claim?.result, 'refused');

  const again = await begin(before, store, { refused: 'unknown-alarm' });
  await live(again);
  await again.spill.stop();
  t.same(again.ordered, [], 'the desk is not asked again: it might say yes by now, and nobody would see');
  t.match(
    again.news.filter((news) => news.news === 'replayed'),
    [{ number, alarm: '1', claim: { by: 'kari', result: 'refused', code: 'taken-by-another' } }],
  );
  t.equal(store.doubled, 0);
});

await t.test('poison in the spill stops nobody', async (t) => {
  const at = folder(t);
  const store = new FakeStore();
  store.away = true;
  const run = await begin(at, store);
  const all = [of('A'), of('B'), of('C')];
  const kept = all.map((one) => run.spill.keep(one));
  await run.pass(1300);
  await Promise.all(kept);
  await run.file.log.append('signal', bytes('not a signal'));
  store.poison.add(all[1]!.id);
  store.away = false;
  await live(run);
  await run.spill.stop();
  t.same(
    store.rows.map(({ device }) => device),
    ['A', 'B', 'C'],
  );
  t.match(store.rows[1], { meaning: { role: 'unreadable' }, marks: ['spilled', 'processing-failed'] });
  const next = await begin(at, store);
  await live(next);
  t.equal(next.spill.counts().aside, 1, 'what nobody can read is kept for a technician');
  t.equal(readdirSync(at).filter((name) => name.endsWith('.aside')).length, 1);
  await next.spill.stop();
});

await t.test('what not even bare bytes bring into PostgreSQL is an alarm without them, or stays shown until it is claimed', async (t) => {
  const at = folder(t);
  const store = new FakeStore();
  store.away = true;
  const run = await begin(at, store);
  const [bad, worse] = [of('A'), of('B')];
  const kept = [bad, worse].map((one) => run.spill.keep(one));
  await run.pass(1300);
  await Promise.all(kept);
  store.unbearable = ({ id, raw }) => (id === bad.id && raw.length > 0) || id === worse.id;
  store.away = false;
  await until('live', async () => {
    await run.pass(100);
    return run.spill.counts().mode === 'live';
  });
  t.match(store.rows, [{ id: bad.id, raw: { length: 0 }, meaning: { role: 'unreadable' } }]);
  t.match(run.spill.provisional(), [{ number: provisionalNumber(worse.id) }], 'nowhere else, so still shown');
  t.equal(run.spill.counts().aside, 2);
  t.match(await run.spill.claim(provisionalNumber(worse.id), { account: 'kari', roles: ['operator'] }, START), {
    claimed: { claimedBy: 'kari' },
  });
  await until('somebody took it', async () => {
    await run.pass(100);
    return run.spill.provisional().length === 0;
  });
  await run.spill.stop();
});

await t.test("what came without credentials and again with them is the unit's", async (t) => {
  const store = new FakeStore();
  store.away = true;
  const run = await begin(folder(t), store);
  const one = of('A');
  const kept = [
    run.spill.keep({ ...one, marks: ['unauthenticated'] }),
    run.spill.keep({ ...one, id: of('A').id, receivedAt: one.receivedAt + 3000 }),
    run.spill.keep({ ...of('B'), marks: ['unauthenticated'] }),
  ];
  await run.pass(1300);
  await Promise.all(kept);
  store.away = false;
  await live(run);
  t.same(
    store.rows.map(({ marks }) => marks),
    [['spilled'], ['spilled'], ['unauthenticated', 'spilled']],
  );
  await run.spill.stop();
});

await t.test('numbers go on behind a segment of which only the name can be read', async (t) => {
  const at = folder(t);
  await (await opened(at)).log.stop();
  writeFileSync(path.join(at, '000000000000900.spill'), 'nothing that can be read');
  const file = await opened(at);
  t.ok((await file.log.append('signal', bytes('x'))) > 900);
  await file.log.stop();
});

await t.test('a spill that takes nothing: no acknowledgement while PostgreSQL is away, and none is missing once it is back', async (t) => {
  const at = folder(t);
  writeFileSync(at, 'no folder');
  const store = new FakeStore();
  const run = await begin(at, store);
  store.away = true;
  const refused = run.spill.keep(of('A'));
  refused.catch(() => {});
  await run.pass(1300);
  await t.rejects(refused, { code: 'store-away' });
  await t.rejects(run.spill.keep(of('A')), { code: 'store-away' });
  t.match(run.spill.counts(), { mode: 'spilling', fault: 'broken' });
  store.away = false;
  await live(run);
  t.equal(run.spill.counts().mode, 'live');
  t.match(await run.spill.keep(of('A')), { verdict: 'opened' });
  await run.spill.stop();
});

await t.test('a disk that hangs for good while the last is handed over keeps nobody from PostgreSQL', async (t) => {
  const at = folder(t);
  const store = new FakeStore();
  const run = await begin(at, store);
  store.away = true;
  const first = run.spill.keep(of('A'));
  await run.pass(1300);
  t.match(await first, { verdict: 'spilled' });
  await hang(t, at);
  const receipts: Receipt[] = [];
  const keep = (one: Signal): void => void run.spill.keep(one).then((receipt) => receipts.push(receipt));
  const [underWay, behind] = [of('B'), of('C')];
  keep(underWay);
  await run.pass(200);
  store.away = false;
  await run.pass(1000);
  t.equal(run.spill.counts().mode, 'handing-over', 'what is on its way to the disk is waited for');
  keep(behind);
  await run.pass(3000);
  t.same(receipts, []);
  await run.pass(1500);
  t.match(receipts, [{ verdict: 'opened' }, { verdict: 'opened' }]);
  t.match(run.spill.counts(), { mode: 'live', signals: 0 });
  t.same(store.rows.map(({ device }) => device).toSorted(), ['A', 'B', 'C'], 'each once');
  t.match(await run.spill.keep(of('D')), { verdict: 'opened' }, 'and it goes on live');
  const stopped = run.spill.stop();
  await run.pass(5200);
  await stopped;
});

await t.test('pressed again without an id after ten minutes, it is a new provisional alarm', (t) => {
  const provisional = createProvisionalAlarms();
  const press = (after: number, messageId: string | null = null) =>
    provisional.add(
      signal(
        {},
        {
          id: `01a2029e-dfb2-761a-bddc-0000000000${String(after).padStart(2, '0')}`,
          messageId,
          raw: bytes('pressed'),
          receivedAt: START + minutes(after),
        },
      ),
    );
  const { number } = press(0);
  t.match(press(9), { number, first: false }, 'a duplicate');
  const again = press(11);
  t.not(again.number, number, 'somebody still lies there, and consoles sound again');
  provisional.replayed(number ?? '', '1', null);
  t.match(press(12), { number: again.number }, 'the later one is known when the first is in PostgreSQL');
  t.equal(press(20, 'a').number, press(55, 'a').number, 'with an id a day');
  t.end();
});

await t.test('what is written beside signals leaves nothing behind in a spill that is never away', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const run = await begin(folder(t), new FakeStore());
  const heap = async (calls: number): Promise<number> => {
    for (let n = 0; n < calls; n++) await run.spill.orAway(() => Promise.resolve({ n }));
    collect();
    return process.memoryUsage().heapUsed;
  };
  let before = await heap(5000);
  const grown: number[] = [];
  // What is left behind is left behind each time; what the rest of the process keeps (code, timers of other parts) is not.
  for (let round = 0; round < 4; round++) {
    const after = await heap(20_000);
    grown.push(after - before);
    before = after;
  }
  t.ok(Math.min(...grown) < 1_000_000, `20,000 registrations each: ${grown.join(', ')} bytes`);
  await run.spill.stop();
});

await t.test('any order of signals, absences, lost answers and crashes: nothing acknowledged is lost, doubled or overtaken', async (t) => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('keep' as const),
        source: fc.constantFrom('A', 'B', 'C'),
        count: fc.integer({ min: 1, max: 5 }),
      }),
    },
    { weight: 2, arbitrary: fc.constant({ do: 'away' as const }) },
    { weight: 1, arbitrary: fc.constant({ do: 'mute' as const }) },
    { weight: 3, arbitrary: fc.constant({ do: 'back' as const }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(50, 300, 1200) }) },
    { weight: 1, arbitrary: fc.constant({ do: 'crash' as const }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('lock' as const),
        source: fc.constantFrom('A', 'B', 'C'),
        code: fc.constantFrom('household-locked' as const, 'household-failing' as const),
      }),
    },
    { weight: 2, arbitrary: fc.constant({ do: 'unlock' as const }) },
  );
  const spilled = { runs: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      const at = path.join(mkdtempSync(path.join(tmpdir(), 'spill-any-')), 'spill');
      const store = new FakeStore();
      /** A process: what was asked of one that has crashed is never answered. */
      let alive = { is: true, unanswered: 0 };
      let run = await begin(at, store, undefined, alive);
      const asked: Signal[] = [];
      const acknowledged = new Set<string>();
      const crash = async (): Promise<void> => {
        alive.is = false;
        alive = { is: true, unanswered: 0 };
        await run.file.log.stop();
        run = await begin(at, store, undefined, alive);
      };
      for (const one of steps) {
        if (one.do === 'keep') {
          for (let n = 0; n < one.count; n++) {
            const each = of(one.source);
            asked.push(each);
            const living = alive;
            living.unanswered += 1;
            run.spill
              .keep(each)
              .then(
                ({ verdict }) => {
                  if (!living.is) return;
                  acknowledged.add(each.id);
                  if (verdict === 'spilled') spilled.runs += 1;
                },
                () => {},
              )
              .finally(() => (living.unanswered -= 1));
          }
        } else if (one.do === 'pass') await run.pass(one.ms);
        else if (one.do === 'crash') await crash();
        else if (one.do === 'lock') store.locked.set(`source:mqtt:${one.source}`, one.code);
        else if (one.do === 'unlock') store.locked.clear();
        else {
          store.away = one.do === 'away';
          store.mute = one.do === 'mute';
        }
      }
      store.away = false;
      store.mute = false;
      store.locked.clear();
      const isBusy = (): boolean => {
        const { mode, signals } = run.spill.counts();
        // What is on its way to a slow disk is neither waiting nor in the spill yet.
        return mode !== 'live' || signals > 0 || alive.unanswered > 0;
      };
      // Of the machine's disk, too, some patience.
      const giveUpAt = performance.now() + 20_000;
      for (let n = 0; (n < 40 || performance.now() < giveUpAt) && isBusy(); n++) await run.pass(200);
      if (isBusy()) throw new Error(`not over: ${JSON.stringify(run.spill.counts())}`);
      await run.spill.stop();
      rmSync(path.dirname(at), { recursive: true, force: true });
      const ids = store.rows.map(({ id }) => id);
      const lost = [...acknowledged].filter((id) => !ids.includes(id));
      if (lost.length > 0) throw new Error(`lost: ${lost.length} of ${acknowledged.size}`);
      if (store.doubled > 0) throw new Error(`doubled: ${store.doubled}`);
      for (const source of ['A', 'B', 'C']) {
        const order = asked.filter((each) => each.device === source && acknowledged.has(each.id)).map(({ id }) => id);
        const stored = ids.filter((id) => order.includes(id));
        if (stored.join() !== order.join()) throw new Error(`overtaken: ${source}`);
      }
    }),
    { numRuns: 40, seed: Number(process.env['SPILL_SEED'] ?? Date.now() % 1_000_000) },
  );
  t.ok(spilled.runs > 5, `${spilled.runs} acknowledgements came from the spill`);
});

await t.test('what comes without credentials while PostgreSQL is away is kept at once, within the limits', async (t) => {
  const kept: Signal[] = [];
  const state = { away: false, broken: false };
  const away = (): CentreError => new CentreError('store-away', 'away');
  const spill: Pick<Spill, 'keep' | 'orAway' | 'storeAway'> = {
    keep(one) {
      if (state.broken) return Promise.reject(away());
      kept.push(one);
      return Promise.resolve({ verdict: 'spilled', alarm: null });
    },
    orAway: (work) => (state.away ? Promise.reject(away()) : work()),
    storeAway: () => state.away,
  };
  const holding = { hold: () => Promise.resolve('held' as const) } as unknown as Holding;
  const holder = holdingOrSpill({ holding, spill, limits: { perSource: 2, inAll: 4 } });
  const hold = (one: Signal): ReturnType<Holding['hold']> => holder.hold(one);
  t.equal(await hold(of('A')), 'held');
  t.same(kept, [], 'PostgreSQL holds it');
  state.away = true;
  const one = of('A');
  t.same(
    [await hold(one), await hold({ ...one, id: of('A').id }), await hold(of('A')), await hold(of('A'))],
    ['held', 'held', 'held', 'not-held'],
  );
  t.equal(kept.length, 2, 'the same bytes once');
  t.ok(kept.every(({ marks }) => marks.includes('unauthenticated')));
  t.equal(
    await hold(signal({ role: 'technical', priority: 'technical', kind: 'fault' }, { source: 'mqtt:A' })),
    'held',
    'warnings have places of their own',
  );
  t.equal(await hold(signal({ role: 'restore' })), 'nothing-to-hold');
  t.same([await hold(of('B')), await hold(of('B')), await hold(of('C'))], ['held', 'not-held', 'held'], 'a flood keeps no other unit out');
  state.broken = true;
  await t.rejects(hold(of('D')), { code: 'store-away' });
  state.broken = false;
  t.equal(await hold(of('D')), 'held');
});

await t.test('of two copies without credentials the second is answered when the first is durable, and refused with it', async (t) => {
  const disk: ((works: boolean) => void)[] = [];
  const away = (): CentreError => new CentreError('store-away', 'away');
  const holder = holdingOrSpill({
    holding: {} as unknown as Holding,
    spill: {
      keep: () =>
        new Promise((resolve, reject) => disk.push((works) => (works ? resolve({ verdict: 'spilled', alarm: null }) : reject(away())))),
      orAway: () => Promise.reject(away()),
      storeAway: () => true,
    },
  });
  const one = of('A');
  const answers: string[] = [];
  const hold = (): void =>
    void holder.hold({ ...one, id: of('A').id }).then(
      (held) => answers.push(held),
      () => answers.push('refused'),
    );
  const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (const [works, answer] of [
    [false, 'refused'],
    [true, 'held'],
  ] as const) {
    hold();
    await turns();
    hold();
    await turns();
    t.same(answers.splice(0), [], 'neither before the disk has answered');
    disk.splice(0).forEach((write) => write(works));
    await turns();
    t.same(answers.splice(0), [answer, answer]);
  }
  hold();
  await turns();
  t.same(answers, ['held'], 'what is durable is answered at once');
});

/** A client of the stream that reads only when it is told to. */
function client(
  t: Test,
  port: number,
  first: string,
  reads = true,
): { socket: Socket; lines: Record<string, unknown>[]; closed: () => boolean } {
  const socket = createConnection({ host: '127.0.0.1', port });
  const lines: Record<string, unknown>[] = [];
  let closed = false;
  let rest = '';
  socket.on('error', () => {});
  socket.on('close', () => (closed = true));
  socket.setEncoding('utf8');
  if (reads)
    socket.on('data', (text: string) => {
      const all = (rest + text).split('\n');
      rest = all.pop() ?? '';
      for (const line of all) lines.push({ ...(JSON.parse(line) as object), size: line.length });
    });
  socket.write(first);
  t.teardown(() => socket.destroy());
  return { socket, lines, closed: () => closed };
}

await t.test('the direct stream: who may listen, and what ends a client', async (t) => {
  const listeners = new Set<(news: DirectNews) => void>();
  let alarms: ProvisionalAlarm[] = [];
  let fails: Error | null = null;
  const refused: number[] = [];
  const time = new MovableClock();
  const stream = await startDirectStream({
    spill: {
      provisional: () => alarms,
      storeAway: () => true,
      listen: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      claim: (number) => (fails !== null ? Promise.reject(fails) : Promise.resolve({ refused: 'gone', alarm: number })),
    },
    token: 'the secret',
    bind: '127.0.0.1',
    port: 0,
    tls: null,
    clock: time,
    log: { ...SILENT, warn: (event, fields) => void (event === 'direct-client-refused' && refused.push(fields?.count ?? 1)) },
  });
  t.teardown(() => stream.stop());
  const hello = '{"hello":"the secret"}\n';
  const tell = (news: DirectNews): void => listeners.forEach((listener) => listener(news));
  const good = client(t, stream.port, hello);
  await until('the whole', () => good.lines.length === 1);
  t.match(good.lines[0], { news: 'whole', storeAway: true, alarms: [] });
  for (const bad of ['{"hello":"the secre"}\n', '{"hello":7}\n', 'GET / HTTP/1.1\r\n\r\n', `${'x'.repeat(DIRECT_LIMITS.line + 10)}`]) {
    const stranger = client(t, stream.port, bad);
    await until('it is ended', () => stranger.closed());
    t.same(stranger.lines, []);
  }
  t.same(refused, [1], 'one line for all of a source');
  const dumb = client(t, stream.port, '');
  await until('it is there', () => dumb.socket.readyState === 'open');
  await time.advance(HELLO_WITHIN_MS + 2000);
  await until('it said nothing', () => dumb.closed());
  t.ok(good.lines.some(({ pulse }) => pulse === true));

  good.socket.write('{"ask":"1","claim":{"number":"F-1","account":"kari","roles":["operator"],"at":5}}\n');
  await until('the answer', () => good.lines.some(({ answer }) => answer === '1'));
  t.match(good.lines.at(-1), { answer: '1', result: { refused: 'gone', alarm: 'F-1' } });
  fails = new TypeError('a fault of ours');
  good.socket.write('{"ask":"3","claim":{"number":"F-1","account":"kari","roles":["operator"],"at":5}}\n');
  await until('that it failed, and the process lives', () => good.lines.some(({ failed }) => failed === '3'));
  fails = new CentreError('store-away', 'full');
  good.socket.write('{"ask":"2","claim":{"number":"F-1","account":"kari","roles":["operator"],"at":5}}\n');
  await until('that it failed', () => good.lines.some(({ failed }) => failed === '2'));
  good.socket.write('{"what":"else"}\n');
  await until('not understood', () => good.closed());

  const shown = provisionalOf(of('A'))!;
  alarms = Array.from({ length: 5000 }, (_, n) => ({
    ...shown,
    number: `F-${String(n).padStart(8, '0')}`,
    priority: n < 4990 ? 'technical' : 'life',
  }));
  const many = client(t, stream.port, hello);
  await until(
    'all 5,000',
    () => many.lines.reduce((sum, line) => sum + (line['news'] === 'whole' ? (line['alarms'] as unknown[]).length : 1), 0) === 5000,
  );
  const [whole] = many.lines as [{ alarms: ProvisionalAlarm[]; size: number }];
  t.ok(whole.size < DIRECT_LIMITS.whole + 1000, 'no line longer than is agreed');
  t.ok(
    whole.alarms.slice(0, 10).every(({ priority }) => priority === 'life'),
    'the most urgent first',
  );
  many.socket.destroy();

  alarms = [];
  const slow = client(t, stream.port, hello, false);
  await until('it is known', () => stream.counts().connected === 1);
  slow.socket.pause();
  const before = stream.counts().ended;
  await until('it reads nothing, and is ended', () => {
    for (let n = 0; n < 200; n++) tell({ news: 'alarm', alarm: { ...shown, text: 'x'.repeat(10_000) } });
    return stream.counts().ended === before + 1;
  });
  slow.socket.destroy();

  await until('none is left', () => stream.counts().connected === 0);
  const strangers = Array.from({ length: DIRECT_LIMITS.connections }, () => client(t, stream.port, ''));
  await until('strangers hold every place', () => strangers.every(({ socket }) => socket.readyState === 'open'));
  const console = client(t, stream.port, hello);
  await until('a console gets in all the same', () => console.lines.length === 1);
  for (const { socket } of [...strangers, console]) socket.destroy();
  await until('none is left', () => stream.counts().connected === 0);
  const crowd = Array.from({ length: DIRECT_LIMITS.connections }, () => client(t, stream.port, hello));
  await until('as many as may', () => stream.counts().connected === DIRECT_LIMITS.connections);
  const tooMany = client(t, stream.port, hello);
  await until('one too many', () => tooMany.closed());
  t.ok(crowd.every(({ closed }) => !closed()));
});

await t.test('5,000 spilled signals are in a real PostgreSQL within 5 s, in the order of each household', async (t) => {
  const stores = await startStores();
  t.teardown(() => stores.stop());
  const at = folder(t);
  const before = await opened(at);
  const now = clock.now();
  const all = Array.from({ length: 5000 }, (_, n) =>
    signal(
      {},
      {
        receivedAt: now - 600_000 + n,
        source: `mqtt:D-${n % 700}`,
        device: `D-${n % 700}`,
        household: { id: `h${n % 600}`, name: 'x', zone: '' },
      },
    ),
  );
  await Promise.all(all.map((one) => before.log.append('signal', encodeSignal(one))));
  await before.log.stop();
  await stores.postgres.pool.query(
    `insert into household (id, municipality, name) select 'h' || n, '1103', 'x' from generate_series(0, 599) n`,
  );
  const signals = createSignalStore(stores.postgres, () => {});
  const file = await opened(at);
  const from = performance.now();
  const spill = createSpill({
    opened: file,
    live: createKeeper({ store: signals, ladderFor, keyOf: joiningKey, log: SILENT }),
    replayWith: (provisional) =>
      createReplay({
        signals,
        store: createSpillStore(stores.postgres),
        admit: (one, situation, newNumber) => admit(one, situation, ladderFor, newNumber),
        order: () => Promise.resolve({ refused: 'unknown-alarm' }),
        file: file.log,
        provisional,
        clock,
        log: SILENT,
      }),
    clock,
    log: SILENT,
  });
  // Live ones go on coming, and go behind.
  const live = Array.from({ length: 200 }, (_, n) =>
    signal({}, { receivedAt: clock.now(), source: `mqtt:D-${n}`, device: `D-${n}`, household: { id: `h${n}`, name: 'x', zone: '' } }),
  );
  const receipts = await Promise.all(live.map((one) => spill.keep(one)));
  t.ok(receipts.every(({ verdict }) => verdict === 'spilled' || verdict === 'repeated'));
  await until('it is empty', () => spill.counts().mode === 'live', 60_000);
  const took = performance.now() - from;
  // Others may be busy on this machine: its share of it is all that counts.
  const share = Math.max(1, (loadavg()[0] ?? 1) / cpus().length);
  t.ok(took < 5000 * share, `${Math.round(took)} ms on a machine with a load of ${share.toFixed(1)} a core`);
  const { rows } = await stores.postgres.pool.query<{ id: string; household_id: string }>(
    `select t.event->>'signal' as id, a.household_id from timeline t join alarm a on a.number = t.alarm order by a.number, t.version`,
  );
  const stored = new Map<string, string[]>();
  for (const { id, household_id: household } of rows) stored.set(household, [...(stored.get(household) ?? []), id]);
  const expected = new Map<string, string[]>();
  for (const { id, household } of [...all, ...live]) expected.set(household!.id, [...(expected.get(household!.id) ?? []), id]);
  t.same(Object.fromEntries(stored), Object.fromEntries(expected));
  const { rows: due } = await stores.postgres.pool.query<{ early: string }>(
    `select count(*) as early from alarm where deadline_at < to_timestamp($1)`,
    [now / 1000],
  );
  t.equal(due[0]?.early, '0', 'nobody is forgotten, and nothing fires at the very moment');
  t.equal(
    (await stores.postgres.pool.query('select from alarm_alias')).rowCount,
    5000 + receipts.filter(({ verdict }) => verdict === 'spilled').length,
  );
  await spill.stop();
});
