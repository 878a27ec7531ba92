/** What replying to SCAIP units keeps and asks, on the real PostgreSQL: who does not acknowledge, and which message was the first of a need. */
import t from 'tap';
import { joiningKey } from '../../src/alarms/correlate.ts';
import type { Meaning, Signal } from '../../src/alarms/signal.ts';
import { MovableClock, minutes, toIso } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { createReplyMarks } from '../../src/devices/reply-marks.ts';
import { createKeeper } from '../../src/intake/keep.ts';
import { createFirstNeeds, createReplyMarkStore } from '../../src/store/reply-marks.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { START, ladderFor, signal } from '../support/alarms.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const stores = await startStores();
const { postgres } = stores;
t.teardown(() => stores.stop());
t.beforeEach(() => stores.empty());

await t.test('the first need of each sender in an alarm, also when it comes again', async (t) => {
  const keeper = createKeeper({ store: createSignalStore(postgres, () => undefined), ladderFor, keyOf: joiningKey, log: SILENT });
  const isFirst = createFirstNeeds(postgres);
  let second = 0;
  const keeps = async (source: string, messageId: string, meaning: Partial<Meaning> = {}): Promise<[string, boolean]> => {
    const raw = Buffer.from(messageId);
    const more: Partial<Signal> = { source, device: source, messageId, raw, receivedAt: START + 1000 * ++second };
    const one = signal(meaning, { ...more, protocol: 'scaip' });
    const { verdict, alarm } = await keeper.keep(one);
    return [verdict, await isFirst({ alarm: alarm ?? '0', source, messageId, digest: one.digest })];
  };
  t.same(await keeps('scaip:1', 'call', { role: 'call', priority: 'urgent' }), ['opened', false], 'a call is no message of a need');
  t.same(await keeps('scaip:1', 'a'), ['repeated', true], 'the first press');
  t.same(await keeps('scaip:1', 'b'), ['repeated', false]);
  t.same(await keeps('scaip:1', 'a'), ['duplicate', true], 'the same answer to the same message');
  t.same(await keeps('scaip:1', 'b'), ['duplicate', false]);
  t.same(await keeps('scaip:2', 'a'), ['repeated', true], 'another unit of the household has not been told to call');
  t.same(await keeps('scaip:2', 'low', { role: 'technical', kind: 'battery-low', priority: 'technical' }), ['opened', false]);
});

await t.test('a mark is written once, survives a store that is away, and goes with the first acknowledgement', async (t) => {
  await postgres.pool.query(`insert into device (serial, municipality, protocol, controller_id) values ('S1', '1103', 'scaip', '1')`);
  await postgres.pool.query(`insert into device_seen (serial, seen_at) values ('S1', now())`);
  const since = async () => {
    const { rows } = await postgres.pool.query<{ at: Date | null }>('select reply_unacknowledged_at as at from device_seen');
    return rows[0]?.at?.toISOString() ?? null;
  };
  const clock = new MovableClock();
  const store = createReplyMarkStore(postgres);
  let away = true;
  let writes = 0;
  const fragile = {
    marked: () => store.marked(),
    mark: (serial: string, at: number | null) => {
      writes++;
      return away ? Promise.reject(new CentreError('store-away', 'away')) : store.mark(serial, at);
    },
  };
  const marks = createReplyMarks({ store: fragile, clock, log: SILENT });
  t.teardown(() => marks.stop());
  marks.note('S1', null);
  marks.note('S1', START);
  await until('it is tried', () => writes === 1);
  t.equal(await since(), null);
  away = false;
  await until('it is written at the next look', async () => {
    await clock.advance(minutes(1));
    return (await since()) === toIso(START);
  });
  // Another process knows of the mark, too, and one acknowledgement there is enough.
  const other = createReplyMarks({ store, clock, log: SILENT });
  t.teardown(() => other.stop());
  await until('the other takes it away', async () => {
    other.note('S1', null);
    return (await since()) === null;
  });
  t.equal(writes, 2);
});
