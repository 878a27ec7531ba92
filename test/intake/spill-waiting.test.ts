/** Signals that wait for PostgreSQL: what is refused at the limits, and what is not refused for having been locked before. */
import t from 'tap';
import { joiningKey } from '../../src/alarms/correlate.ts';
import type { Signal } from '../../src/alarms/signal.ts';
import { MovableClock } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import type { LiveKeeper, Receipt } from '../../src/intake/keep.ts';
import { type WaitingSignals, createWaitingSignals } from '../../src/intake/spill-waiting.ts';
import { signal } from '../support/alarms.ts';

interface Kept {
  readonly signal: Signal;
  readonly kept: (receipt: Receipt) => void;
  readonly failed: (error: unknown) => void;
}

/** A keeper that answers when the test does. */
function begin() {
  const asked: Kept[] = [];
  const clock = new MovableClock();
  const lockedAway: string[] = [];
  const live: LiveKeeper = {
    keep: (one) => new Promise<Receipt>((kept, failed) => asked.push({ signal: one, kept, failed })),
    waiting: () => 0,
    underWay: () => 0,
    withdraw: () => undefined,
  };
  const counts = { refused: 0 };
  const waiting = createWaitingSignals({
    live,
    clock,
    committed: () => undefined,
    heard: () => undefined,
    refused: () => (counts.refused += 1),
    lockedAway: (key) => void lockedAway.push(key),
  });
  return { asked, clock, waiting, lockedAway, counts };
}

const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const ROLES = {
  technical: { role: 'technical', kind: 'fault', priority: 'technical', trigger: '' },
  need: {},
} as const;

/** Lets so many wait that are never answered; gives how many were refused. */
async function fill(waiting: WaitingSignals, role: keyof typeof ROLES, count: number, raw: Uint8Array): Promise<number> {
  const one = signal(ROLES[role], { raw, household: null });
  const answers = { kept: 0, refused: 0 };
  for (let n = 0; n < count; n++)
    waiting.wait({ ...one, source: `mqtt:${n}` }, false).then(
      () => (answers.kept += 1),
      (error: { code: string }) => (answers.refused += error.code === 'store-away' ? 1 : Number.NaN),
    );
  await turns();
  t.equal(answers.kept, 0, 'nothing is acknowledged');
  return answers.refused;
}

await t.test('20,000 may wait; technical ones leave the last quarter to calls for help', async (t) => {
  const { asked, waiting, counts } = begin();
  const raw = Buffer.alloc(10);
  t.equal(await fill(waiting, 'technical', 15_100, raw), 100);
  t.equal(waiting.size(), 15_000);
  t.equal(await fill(waiting, 'need', 5_100, raw), 100);
  t.equal(waiting.size(), 20_000);
  t.equal(counts.refused, 200);
  t.equal(asked.length, 20_000, 'and PostgreSQL is given no more');
  asked[0]?.kept({ verdict: 'opened', alarm: '1' });
  await turns();
  t.equal(await fill(waiting, 'need', 2, raw), 1, 'a place that is free is taken');
});

await t.test('64 MiB may wait; technical ones leave the last quarter to calls for help', async (t) => {
  const { waiting } = begin();
  const raw = Buffer.alloc(8 * 1024);
  const most = Math.floor((64 * 1024 * 1024) / (raw.length + 512));
  const technical = Math.floor((48 * 1024 * 1024) / (raw.length + 512));
  t.equal(await fill(waiting, 'technical', technical + 50, raw), 50);
  t.equal(await fill(waiting, 'need', most - technical + 50, raw), 50);
  t.equal(waiting.size(), most);
});

await t.test('a household whose lock was not had, and for which PostgreSQL then does not answer, is tried again', async (t) => {
  const { asked, clock, waiting, lockedAway, counts } = begin();
  const one = signal({});
  const receipt = waiting.wait(one, false);
  asked[0]?.failed(new CentreError('household-locked', 'locked'));
  await turns();
  waiting.submit();
  await clock.advance(4000);
  asked[1]?.failed(new CentreError('store-away', 'away'));
  await turns();
  t.equal(counts.refused, 0);
  t.equal(waiting.pressing(), 1, 'it says that PostgreSQL is away');
  waiting.submit();
  asked[2]?.kept({ verdict: 'opened', alarm: '1' });
  t.match(await receipt, { verdict: 'opened' });

  const other = waiting.wait(one, false);
  asked[3]?.failed(new CentreError('store-away', 'away'));
  await turns();
  await clock.advance(2100);
  waiting.submit();
  asked[4]?.failed(new CentreError('store-away', 'away'));
  await t.rejects(other, { code: 'store-away' }, 'while it commits others, no longer than 2 s');
  void waiting.wait(one, false);
  asked[5]?.failed(new CentreError('household-locked', 'locked'));
  await turns();
  await clock.advance(1000);
  waiting.submit();
  asked[6]?.failed(new CentreError('household-locked', 'locked'));
  await turns();
  t.same(lockedAway, [joiningKey(one)], 'and a lock that stays goes into the spill after a second');
});
