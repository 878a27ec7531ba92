/** How `<mrs>` replies go out where the source may be forged, and who is marked for not acknowledging them; on real sockets. */
import t from 'tap';
import { MovableClock, minutes, seconds } from '../../src/base/clock.ts';
import { Unit, message, okTo, start, until } from '../support/scaip-receiver.ts';

const body = (ref: string): string => `<mrq><ref>${ref}</ref><cid>10149471</cid><dty>3</dty></mrq>`;
const ok = (ref: string): string => `<mrs><ref>${ref}</ref><snu>0</snu></mrs>`;

/** Moves time on in small steps, so that what the sockets bring gets its turn between. */
async function pass(clock: MovableClock, span: number): Promise<void> {
  for (let left = span; left > 0; left -= 1000) {
    await clock.advance(Math.min(left, 1000));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const from = (cid: string, ref: string, cseq: number): Buffer =>
  message({ callId: cid, cseq, body: body(ref).replace('10149471', cid), from: `sip:${cid}@x` });
const sentMessages = ({ got }: Unit): string[] => got.filter((one) => one.startsWith('MESSAGE'));
const replyTo = (unit: Unit, ref: string): string => sentMessages(unit).findLast((one) => one.endsWith(ok(ref))) ?? '';

await t.test('delivery: a source that has acknowledged nothing draws one repeated reply at a time, whatever units it names', async (t) => {
  const clock = new MovableClock();
  const { server } = await start({ clock, units: { '26317': {}, '26318': {}, '26319': {} } });
  const forged = await Unit.udp(server);
  let bytesIn = 0;
  for (let i = 0; i < 15; i++) {
    const one = from(['26317', '26318', '26319'][i % 3] ?? '', `F${i}`, i + 1);
    bytesIn += one.length;
    forged.send(one);
  }
  forged.send(from('26317', 'F0', 20));
  await until(() => server.counters().kept === 16, 'all kept');
  await until(() => forged.replies.length === 1, 'the first');
  await pass(clock, seconds(1));
  t.equal(new Set(forged.replies).size, 1, 'alone for 2 s');
  await pass(clock, seconds(19));
  await until(() => new Set(forged.replies).size >= 10, 'the next every 2 s');
  const timesOfEach = (): number[] =>
    [...new Set(forged.replies)].map((distinct) => forged.replies.filter((one) => one === distinct).length);
  const perReply = timesOfEach();
  t.ok(Math.max(...perReply) <= 4, `none is repeated beyond its turn: ${perReply.join(' ')}`);
  const bytesOut = sentMessages(forged).reduce((sum, one) => sum + one.length, 0);
  t.ok(bytesOut < 3 * bytesIn, `${bytesOut} bytes for ${bytesIn}`);
  await pass(clock, seconds(150));
  const all = timesOfEach();
  t.equal(all.length, 15, 'each had its turn');
  t.ok(all.reduce((sum, one) => sum + one, 0) <= 14 * 4 + 33, `at most 4 packets each and 33 of the last: ${all.join(' ')}`);
});

await t.test('delivery: what waits for a source goes out when that acknowledges something, even a reply whose turn is over', async (t) => {
  const clock = new MovableClock();
  const { server } = await start({ clock, units: { '26317': {}, '26318': {}, '26319': {} } });
  const proxy = await Unit.udp(server);
  for (const [index, ref] of ['H1', 'H2', 'H3', 'H4'].entries()) proxy.send(from(index === 0 ? '26317' : '26318', ref, index + 1));
  await until(() => server.counters().kept === 4, 'all kept');
  await pass(clock, seconds(3));
  await until(() => replyTo(proxy, 'H2') !== '', 'a dead unit does not keep the others waiting');
  t.equal(replyTo(proxy, 'H3'), '');
  proxy.send(okTo(replyTo(proxy, 'H2')));
  await until(() => replyTo(proxy, 'H3') !== '', 'the next at once');
  const dead = (): number => proxy.replies.filter((one) => one === ok('H1')).length;
  const before = dead();
  await pass(clock, seconds(5));
  t.ok(dead() > before, 'what was silent is repeated again');
  proxy.send(from('26319', 'I1', 9));
  await until(() => replyTo(proxy, 'I1') !== '', 'units behind a source that receives do not wait for each other');
  proxy.send(from('26319', 'I2', 10));
  await until(() => server.counters().kept === 6, 'the next of the same');
  await pass(clock, seconds(1));
  t.equal(replyTo(proxy, 'I2'), '', 'waits a moment for the first');
  await pass(clock, seconds(2));
  await until(() => replyTo(proxy, 'I2') !== '', 'and not for ever');
  for (const ref of ['H1', 'H3', 'H4', 'I1', 'I2']) {
    await until(() => replyTo(proxy, ref) !== '', ref);
    proxy.send(okTo(replyTo(proxy, ref)));
  }
  await until(() => server.counters().repliesAcknowledged === 6, 'all of them');

  await pass(clock, minutes(61));
  proxy.send(from('26317', 'J1', 11));
  proxy.send(from('26318', 'J2', 12));
  await until(() => server.counters().kept === 8, 'an hour later');
  await pass(clock, seconds(1));
  t.same([replyTo(proxy, 'J1') === '', replyTo(proxy, 'J2') === ''], [false, true], 'it has to acknowledge once more');
  await pass(clock, seconds(2));
  await until(() => replyTo(proxy, 'J2') !== '', 'its turn');
  proxy.send(from('26317', 'J1', 13));
  const asked = proxy.replies.filter((one) => one === ok('J1')).length;
  await until(() => server.counters().kept === 9, 'asked again');
  await pass(clock, seconds(3));
  await until(() => proxy.replies.filter((one) => one === ok('J1')).length > asked, 'a repeat fetches a reply whose turn is over');
});

await t.test('delivery: beyond what may wait for a source, the oldest is left to its repeat', async (t) => {
  const clock = new MovableClock();
  const { server } = await start({ clock });
  const stranger = await Unit.udp(server);
  for (let i = 0; i < 131; i++) {
    stranger.send(message({ cseq: i + 1, body: body(`Q${i}`) }));
    await until(() => server.counters().kept === i + 1, 'kept');
  }
  t.match(server.counters(), { repliesSent: 1, repliesUndelivered: 2 }, 'one under way, 128 wait');
  stranger.acknowledges = true;
  await until(() => stranger.replies.length > 0, 'the first');
  stranger.send(okTo(replyTo(stranger, 'Q0')));
  await until(() => server.counters().repliesAcknowledged >= 129, 'all that waited');
  t.equal(replyTo(stranger, 'Q1'), '');
});

await t.test('the mark: strangers who say a unit’s name and acknowledge nothing cannot set it', async (t) => {
  const clock = new MovableClock();
  const units = { '10149471': {}, '26317': {} };
  const { server, unacknowledged } = await start({ clock, units, bind: '0.0.0.0' });
  const unit = await Unit.udp(server);
  const stranger = await Unit.udp(server, '127.0.0.2');
  let kept = 0;
  const misses = async (who: Unit, cid: string, times: number): Promise<void> => {
    for (let i = 0; i < times; i++) {
      const { repliesUnanswered } = server.counters();
      who.send(from(cid, `M${++kept}`, kept));
      await until(() => server.counters().kept === kept && server.counters().repliesSent === kept, 'the reply');
      await pass(clock, seconds(100));
      t.equal(server.counters().repliesUnanswered, repliesUnanswered + 1);
    }
  };
  unit.acknowledges = true;
  unit.send(from('10149471', `M${++kept}`, kept));
  await until(() => server.counters().repliesAcknowledged === 1, 'it acknowledges');
  unit.acknowledges = false;
  t.same(unacknowledged.splice(0), [['S-10149471', null]]);
  await misses(stranger, '10149471', 4);
  t.same(unacknowledged, [], 'the unit acknowledged from elsewhere');
  await misses(unit, '10149471', 3);
  t.match(unacknowledged.splice(0), [['S-10149471', Number]], 'where it acknowledged before');
  await misses(unit, '26317', 2);
  await misses(stranger, '26317', 1);
  await misses(unit, '26317', 2);
  t.same(unacknowledged, [], 'never acknowledged, from two addresses');
  await misses(unit, '26317', 1);
  t.match(unacknowledged.splice(0), [['S-26317', Number]], 'three in a row from one');
});
