/** Identifiers: random bytes that are given out once, receipt ids that sort by time. */
import t from 'tap';
import { receiptId, secret, systemRandom } from '../../src/base/ids.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

await t.test('random bytes: as many as asked for, never the same again, and what is given stays as it is', async (t) => {
  const seen = new Set<string>();
  const kept = systemRandom(16);
  const before = hex(kept);
  for (let n = 0; n < 20_000; n++) seen.add(hex(systemRandom(10)));
  t.equal(seen.size, 20_000);
  t.notOk(seen.has('0'.repeat(20)), 'not what was left behind');
  t.equal(hex(kept), before, 'nobody writes into what was given out');
  for (const size of [0, 1, 4095, 4096, 4097, 10_000]) {
    const given = systemRandom(size);
    t.equal(given.length, size);
    if (size > 4000) t.ok(new Set(given).size > 200, `${size} bytes of all values`);
  }
});

await t.test('a receipt id is a UUID of version 7 and sorts by its instant', async (t) => {
  const at = Date.UTC(2026, 10, 22, 3, 4, 5, 678);
  const ids = [at, at + 1, at + 2 ** 33].map((instant) => receiptId(instant, systemRandom));
  for (const id of ids) t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.same(ids.toSorted(), ids);
  t.equal(Number.parseInt(ids[0]!.replaceAll('-', '').slice(0, 12), 16), at);
  t.match(secret(systemRandom), /^[\w-]{32}$/);
});
