/** Scenarios of devices on real sockets: what becomes an alarm, what joins one, what ends one, and what is only a sign of life. */
import type { DevicePage } from '../../src/console/api-schema.ts';
import { toIso } from '../../src/base/clock.ts';
import type { Person } from '../support/person.ts';
import { stage } from '../support/centre.ts';
import { inOrder, rings } from '../support/phones.ts';

const scenario = await stage();

async function device(technician: Person, serial: string) {
  const { body } = await technician.get<DevicePage>(`/api/v1/devices?search=${serial}`);
  return body.devices.find((one) => one.serial === serial);
}

await scenario('The identical message again adds nothing; another message of the same unit joins and raises', async (scene, t) => {
  await scene.startCentre();
  const operator = await scene.atScreen('operator');
  const worn = await scene.mqtt();
  const first = await worn.sends('alarm', { id: 'a', type: 'call-button' });
  const again = await worn.sends('alarm', { id: 'a', type: 'call-button' });
  t.match([first, again], [{ result: 'received' }, { result: 'duplicate', alarm: first.alarm }]);
  const unit = scene.scaip('26317');
  t.match(await unit.act({ name: 'inactivity' }), [{ result: 'delivered', attempts: 1 }]);
  t.match(await unit.act({ name: 'duplicate' }), [{ result: 'delivered', attempts: 1 }]);
  t.match(await unit.act({ name: 'press', trigger: '1' }), [{ result: 'delivered', attempts: 1 }]);
  await scene.at(2);
  const shown = (await operator.board()).map(({ device: serial, kind, priority, signalCount, duplicateCount }) => {
    return [serial, kind, priority, signalCount, duplicateCount];
  });
  t.strictSame(shown, [
    ['NJ-1103-0001', 'call-button', 'life', 1, 1],
    ['26317', 'call-button', 'life', 2, 1],
  ]);
  scene.asked(t, []);
});

await scenario('Heartbeats and tests over SCAIP make no alarm, and tell technicians that the unit lives', async (scene, t) => {
  await scene.startCentre();
  const technician = await scene.person('teknisk');
  const operator = await scene.atScreen('operator');
  const essence = scene.scaip('26317');
  const possum = scene.scaip('10149471', 'possum');
  const telealarm = scene.scaip('999998', 'telealarm');
  t.equal((await device(technician, '26317'))?.lastSeenAt, null);
  await scene.at(10);
  for (const unit of [essence, possum, telealarm]) {
    t.match(await unit.act({ name: 'heartbeat' }), [{ result: 'delivered', attempts: 1 }], unit.id);
  }
  await scene.at(20);
  t.match(await essence.act({ name: 'test', trigger: '1' }), [{ result: 'delivered', attempts: 1 }]);
  await scene.at(30);
  t.equal((await device(technician, '10149471'))?.lastSeenAt, toIso(scene.start + 10_000));
  t.equal((await device(technician, '999998'))?.lastSeenAt, toIso(scene.start + 10_000), 'a heartbeat with an alarm’s status code');
  t.equal((await device(technician, '26317'))?.lastSeenAt, toIso(scene.start + 20_000));
  t.strictSame(operator.screen?.board, []);
  t.strictSame(await operator.board(), []);
  t.strictSame(await scene.rows('select 1 from signal'), [], 'signs of life are no rows');
  scene.asked(t, []);
});

await scenario(
  'An unknown unit and messages that nobody can read are acknowledged and on the board; the next alarm comes through',
  async (scene, t) => {
    await scene.startCentre();
    const operator = await scene.atScreen('operator');
    t.match(await scene.scaip('555001', 'possum').act({ name: 'press', trigger: '1' }), [{ result: 'delivered', attempts: 1 }]);
    const cut = await scene.scaipBody('<mrq><ref>00AB12</ref><cid>26317</cid><dty>00');
    t.equal(cut.status, 200);
    const known = await scene.mqtt();
    await known.publishes('alarm', 'HELP');
    await known.publishes('alarm', 'HELP me');
    const nul = await known.sends('alarm', { id: 'n', type: 'fall', text: '\u0000' });
    const next = await (await scene.mqtt('NJ-1103-0002')).alarms('call-button');
    await scene.at(2);
    await operator.screen?.shows(next, 'as new');
    t.match(cut.said.join(), /<ref>00AB12<\/ref><snu>0<\/snu>/, 'its ref could be read');
    const board = operator.screen?.board ?? [];
    t.strictSame(
      board.map(({ device: serial, kind, unreadable, unknownDevice, signalCount }) => [
        serial,
        kind,
        unreadable,
        unknownDevice,
        signalCount,
      ]),
      [
        ['555001', 'call-button', false, true, 1],
        ['26317', 'unreadable', true, false, 1],
        ['NJ-1103-0001', 'unreadable', true, false, 2],
        ['NJ-1103-0001', 'fall', false, false, 1],
        ['NJ-1103-0002', 'call-button', false, false, 1],
      ],
    );
    t.equal(board[3]?.number, nul.alarm);
    const raw = await scene.rows<{ raw: Buffer }>('select raw from signal order by received_at, id');
    t.ok(
      raw.some((row) => row.raw.equals(Buffer.from('HELP me'))),
      'the bytes are kept as they came',
    );
    await scene.at(61);
    const expected = board.flatMap(({ number, priority }) => {
      const channels = priority === 'life' ? 'page sms' : 'page';
      return rings(60, number, { leder: channels, operator2: channels });
    });
    const lines = scene.phones.asked(scene.start);
    t.strictSame(
      lines.filter((line) => expected.includes(line)),
      inOrder(expected),
      'each alarm is on the pages, each one about life has its own SMS',
    );
    const gathered = lines.filter((line) => !expected.includes(line));
    const others = board.filter(({ priority }) => priority !== 'life').map(({ number }) => number);
    t.equal(gathered.length, 2, 'what is not about life: one SMS a minute to each of the two');
    t.ok(gathered.every((line) => line.includes(': sms to ') && others.some((number) => line.includes(number))));
  },
);

await scenario('A technical alarm ends with its restore, unless somebody has taken it', async (scene, t) => {
  await scene.startCentre();
  const technician = await scene.atScreen('teknisk');
  const unit = await scene.mqtt('NJ-1103-0002');
  const mains = await unit.alarms('mains-lost');
  const battery = await unit.alarms('battery-low');
  await technician.screen?.shows(
    mains,
    'as technical',
    ({ priority, attention }) => priority === 'technical' && attention.sounds === 'nobody',
  );
  await technician.does(battery, 'claim');
  await scene.at(30);
  t.equal((await unit.sends('restore', { type: 'mains-lost' })).alarm, mains);
  t.equal((await unit.sends('restore', { type: 'battery-low' })).alarm, battery);
  await technician.screen?.shows(mains, 'as restored', ({ state, outcome }) => state === 'closed' && outcome === 'restored');
  const taken = await technician.screen?.shows(battery, 'with its restore', ({ restoredAt }) => restoredAt !== null);
  t.match(taken, { state: 'claimed', claimedBy: 'teknisk', closedAt: null });
  t.match(await technician.does(battery, 'close', { outcome: 'technical-fixed' }), { state: 'closed' });
  await scene.at(200);
  scene.asked(t, []);
});

await scenario('A power cut at a hundred homes does not delay a call for help', async (scene, t) => {
  await scene.startCentre();
  const operator = await scene.atScreen('operator');
  const worn = await scene.mqtt();
  const homes = Array.from({ length: 100 }, (_, i) => scene.scaip(String(700_000 + i), i % 2 === 0 ? 'possum' : 'doro'));
  let reported = 0;
  const storm = Promise.all(
    homes.map(async (home) => {
      const delivered = await home.act({ name: 'mains-lost' });
      reported += 1;
      return delivered;
    }),
  );
  const began = performance.now();
  const number = await worn.alarms('call-button');
  t.comment(`kept and acknowledged after ${Math.round(performance.now() - began)} ms, with ${reported} of the homes`);
  const deliveries = (await storm).flat();
  t.strictSame(
    deliveries.filter(({ result }) => result !== 'delivered'),
    [],
    'each home was heard, too',
  );
  await scene.settle();
  const board = await operator.board();
  t.equal(board.length, 101);
  t.match(board[0], { number, priority: 'life' }, 'first on the board');
  t.ok(board.slice(1).every(({ kind, priority }) => kind === 'mains-lost' && priority === 'technical'));
  await scene.at(125);
  const homesLater = (await operator.board()).slice(1);
  t.ok(
    homesLater.every(({ nextDeadline, ladder }) => nextDeadline?.what === 'day-queue' && !ladder.exhausted),
    'they wait for the day, none is red',
  );
  scene.asked(t, [
    ...rings(60, number, { leder: 'page sms', operator2: 'page sms' }),
    ...rings(120, number, { natt: 'page sms', natt2: 'page sms' }),
  ]);
});
