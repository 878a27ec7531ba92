/** Scenarios of escalation: who is asked when nobody answers, over which channel and when, and nobody else. */
import { minutes } from '../../src/base/clock.ts';
import type { Notice } from '../../src/escalation/ask.ts';
import { stage } from '../support/centre.ts';
import { rings } from '../support/phones.ts';

const scenario = await stage();
const TOLD = { leder: 'page sms', operator2: 'page sms' };
const BOTH = { natt: 'page sms', natt2: 'page sms' };

await scenario(
  'Nobody claims: supervisor and overflow are told, then the night patrol; the first accepts, the second sees who',
  async (scene, t) => {
    await scene.startCentre();
    const operator = await scene.atScreen('operator');
    const natt = await scene.atScreen('natt');
    const natt2 = await scene.atScreen('natt2');
    const device = await scene.mqtt();
    const number = await device.alarms('call-button');
    await scene.at(59);
    scene.asked(t, [], 'for a minute it is the operators’ alone');
    t.strictSame(natt.screen?.board, [], 'nor does the patrol see it');
    await scene.at(125);
    const dispatched = await natt.screen?.shows(number, 'as asked', ({ state }) => state === 'dispatched');
    t.match(dispatched, { dispatchedTo: 'nattpatrulje', asked: ['leder', 'operator2', 'natt', 'natt2'], responder: null });
    await natt.does(number, 'accept', { etaMinutes: 8 });
    const late = await natt2.tries(number, 'accept', { etaMinutes: 3 });
    t.match(late, { status: 409, body: { code: 'accepted-by-another', by: 'natt' } });
    const seen = await natt2.screen?.shows(number, 'as accepted', ({ state }) => state === 'responding');
    t.equal(seen?.responder, 'natt', 'the second sees who goes');
    await scene.at(300);
    await natt.does(number, 'arrive');
    t.match(
      await operator.tries(number, 'close', { outcome: 'helped-on-site' }),
      { body: { code: 'no-confirmed-contact' } },
      'arrived is not met',
    );
    await scene.at(400);
    await natt.does(number, 'report', { outcome: 'helped-on-site', text: 'Hjulpet opp' });
    await operator.screen?.shows(number, 'with the report', ({ report }) => report?.by === 'natt');
    t.match(await operator.does(number, 'close', { outcome: 'helped-on-site' }), {
      state: 'closed',
      contact: { by: 'natt', how: 'visit' },
    });
    await scene.at(800);
    scene.asked(t, [...rings(60, number, TOLD), ...rings(120, number, BOTH)]);
    for (const { zone, priority, link, others } of scene.phones.rang) {
      t.strictSame({ zone, priority, others }, { zone: 'Stavanger sentrum', priority: 'life', others: [] });
      t.equal(link, `${scene.centre.ready.http}/a/${number}`);
    }
  },
);

await scenario(
  'What is not about life: the SMS follows the page after 30 s, at once where no page is open, and once a minute',
  async (scene, t) => {
    await scene.startCentre();
    const noPage = ({ account, channel }: Notice): boolean => account === 'natt' && channel === 'page';
    scene.phones.answer = (notice) => (noPage(notice) ? { result: 'failed', why: 'no-page-open', retry: false } : undefined);
    const device = await scene.mqtt('NJ-1103-0002');
    const number = await device.alarms('door');
    await scene.at(310);
    const leder = await scene.person('leder');
    await leder.does(number, 'claim');
    await leder.does(number, 'confirm-contact', { how: 'phone' });
    await leder.does(number, 'close', { outcome: 'helped-by-voice' });
    await scene.at(500);
    scene.asked(t, [
      ...rings(60, number, TOLD),
      ...rings(120, number, { natt: 'page sms', natt2: 'page' }),
      ...rings(150, number, { natt2: 'sms' }),
      ...rings(180, number, { natt: 'page sms', natt2: 'page' }),
      ...rings(210, number, { natt2: 'sms' }),
      ...rings(300, number, { leder: 'page sms' }),
    ]);
  },
);

await scenario('All who were asked decline: the next rung is asked at once, without them', async (scene, t) => {
  await scene.startCentre();
  const natt = await scene.person('natt');
  const natt2 = await scene.person('natt2');
  const device = await scene.mqtt();
  const number = await device.alarms('fall');
  await scene.at(125);
  await natt.does(number, 'decline', { reason: 'Hos en annen' });
  await scene.at(130);
  scene.asked(t, [...rings(60, number, TOLD), ...rings(120, number, BOTH)], 'one of them may still come');
  await natt2.does(number, 'decline', { reason: 'Punktert' });
  await scene.at(140);
  // The patrol's second rung has nobody left, and is left after a second.
  scene.asked(t, [...rings(60, number, TOLD), ...rings(120, number, BOTH), ...rings(131.25, number, { leder: 'page sms' })]);
  const leder = await scene.person('leder');
  t.match(await leder.alarm(number), { state: 'dispatched', dispatchedTo: 'nattpatrulje', declined: ['natt', 'natt2'] });
});

await scenario(
  'Nobody on duty is shown, so is a ladder without success; it starts again after 5 minutes and asks who is there then',
  async (scene, t) => {
    await scene.startCentre();
    const leder = await scene.atScreen('leder');
    const natt = await scene.person('natt');
    const natt2 = await scene.person('natt2');
    t.match(await natt.post('/api/v1/duty', { command: 'off' }), { status: 200 });
    t.match(await natt2.post('/api/v1/duty', { command: 'off' }), { status: 200, body: { warning: 'last-on-duty' } });
    const device = await scene.mqtt();
    const number = await device.alarms('call-button');
    await scene.at(120.5);
    await leder.screen?.shows(number, 'in red: nobody on duty', ({ ladder }) => ladder.nobodyOnDuty && !ladder.exhausted);
    const first = [...rings(60, number, TOLD), ...rings(122, number, { leder: 'page sms' })];
    await scene.at(241);
    scene.asked(t, first);
    await scene.at(243);
    await leder.screen?.shows(number, 'in red: exhausted', ({ ladder, attention }) => ladder.exhausted && attention.sounds === 'everyone');
    await scene.at(541);
    scene.asked(t, first, 'nobody is asked in the five minutes');
    await natt.post('/api/v1/duty', { command: 'on' });
    await scene.at(605);
    scene.asked(t, [...first, ...rings(542.25, number, TOLD), ...rings(602.25, number, { natt: 'page sms' })]);
    const accepted = await natt.does(number, 'accept');
    t.match(accepted, { state: 'responding', ladder: { exhausted: false, nobodyOnDuty: false, round: 1 } }, 'the red is gone');
  },
);

await scenario('Going off duty and taking over change who is asked next', async (scene, t) => {
  await scene.startCentre();
  const natt = await scene.person('natt');
  const natt2 = await scene.person('natt2');
  await natt.post('/api/v1/duty', { command: 'off' });
  const device = await scene.mqtt();
  const number = await device.alarms('call-button');
  await scene.at(150);
  t.match(await natt.post('/api/v1/duty', { command: 'take-over', from: 'natt2' }), { status: 200 });
  const duty = await natt2.get<{ me: unknown }>('/api/v1/duty');
  t.match(duty.body.me, { onDuty: false });
  await scene.at(200);
  scene.asked(t, [...rings(60, number, TOLD), ...rings(120, number, { natt2: 'page sms' }), ...rings(180, number, { natt: 'page sms' })]);
});

await scenario('Deadlines that passed while the centre was down: the ladder climbs one rung, not all at once', async (scene, t) => {
  const first = await scene.startCentre();
  const device = await scene.mqtt();
  const need = await device.alarms('call-button');
  const technical = await device.alarms('mains-lost');
  await scene.at(30);
  await scene.stopCentre();
  await scene.nobodyRunsFor(minutes(13 * 60));
  const from = 30 + 13 * 3600;
  await scene.startCentre(undefined, first.dataDir);
  await scene.settle();
  scene.asked(t, rings(from, need, TOLD), 'at once, but the first rung only');
  await scene.at(from + 59);
  scene.asked(t, rings(from, need, TOLD));
  await scene.at(from + 125);
  const natt = await scene.person('natt');
  await natt.does(need, 'accept');
  await scene.at(from + 300);
  scene.asked(t, [...rings(from, need, TOLD), ...rings(from + 60, need, BOTH), ...rings(from + 120, need, BOTH)]);
  const passed = scene.lines.filter(({ event }) => event === 'deadline-passed').map(({ alarm, code }) => `${code} ${alarm}`);
  // Both are in hand at once, so which is logged first says nothing; that the person is taken up first is sweep.test.ts's.
  t.strictSame(passed.slice(0, 2).toSorted(), [`day-queue ${technical}`, `unclaimed ${need}`], 'neither waits for the other');
});
