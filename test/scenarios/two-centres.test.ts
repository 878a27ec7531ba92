/** Scenarios of several processes on the same stores: each step is taken exactly once, wherever people and devices are connected. */
import { stage } from '../support/centre.ts';
import { rings } from '../support/phones.ts';

const scenario = await stage();
const TOLD = { leder: 'page sms', operator2: 'page sms' };
const BOTH = { natt: 'page sms', natt2: 'page sms' };

await scenario('Two centres on one database: each step of each ladder is taken once, and of two acceptances one wins', async (scene, t) => {
  const here = await scene.startCentre();
  const there = await scene.startCentre();
  const natt = await scene.atScreen('natt', here);
  const natt2 = await scene.atScreen('natt2', there);
  const operator = await scene.atScreen('operator', there);
  const units = Array.from({ length: 16 }, (_, i) => scene.scaip(String(800_000 + i), 'possum', i % 2 === 0 ? here : there));
  await Promise.all(units.map((unit) => unit.act({ name: 'press', trigger: '1' })));
  const numbers = (await scene.rows<{ number: string }>('select number from alarm order by number')).map(({ number }) => number);
  t.equal(numbers.length, 16);
  await scene.at(125);
  const expected = numbers.flatMap((number) => [...rings(60, number, TOLD), ...rings(120, number, BOTH)]);
  scene.asked(t, expected);
  const steps = await scene.rows<{ event: string; count: string }>(
    `select event->>'event' as event, count(*) from timeline where event->>'event' in ('told', 'dispatched', 'deadline-passed') group by 1`,
  );
  t.strictSame(Object.fromEntries(steps.map(({ event, count }) => [event, Number(count)])), {
    told: 16,
    dispatched: 16,
    'deadline-passed': 32,
  });
  for (const number of numbers) {
    const answers = await Promise.all([natt.tries(number, 'accept'), natt2.tries(number, 'accept')]);
    t.strictSame(
      answers.map(({ status }) => status).toSorted((a, b) => a - b),
      [200, 409],
    );
    const won = answers[0]?.status === 200 ? 'natt' : 'natt2';
    t.match(answers.find(({ status }) => status === 409)?.body, { code: 'accepted-by-another', by: won });
    for (const { screen } of [natt, natt2, operator]) {
      await screen?.shows(number, 'with who goes', ({ responder }) => responder === won);
    }
  }
  await scene.at(260);
  scene.asked(t, expected, 'nobody is asked about what is taken');
});

await scenario('A centre goes down in the midst of a ladder: the other goes on with it', async (scene, t) => {
  const here = await scene.startCentre();
  const there = await scene.startCentre();
  const operator = await scene.atScreen('operator', here);
  const number = await (await scene.mqtt('NJ-1103-0001', here)).alarms('call-button');
  await operator.does(number, 'claim');
  await scene.at(20);
  await scene.stopCentre(here);
  const operator2 = await scene.atScreen('operator2', there);
  await scene.at(33);
  const returned = await operator2.screen?.shows(number, 'without its owner', ({ claimedBy }) => claimedBy === null);
  t.match(returned, { state: 'waiting', attention: { sounds: 'everyone', interrupted: true } });
  await scene.at(94);
  const first = scene.phones.asked(scene.start);
  const second = Number.parseFloat(first[0] ?? '');
  t.ok(second >= 89 && second <= 93, 'a minute after the claim was returned');
  scene.asked(t, rings(second, number, TOLD));
  await scene.at(160);
  scene.asked(t, [...rings(second, number, TOLD), ...rings(second + 60, number, BOTH)]);
});

await scenario('Intake, escalation and console as processes of their own do what one process does', async (scene, t) => {
  const console = await scene.startCentre(['console']);
  const intake = await scene.startCentre(['intake']);
  await scene.startCentre(['escalation']);
  t.strictSame([console.ready.mqtt, console.ready.sipUdp], [undefined, undefined]);
  const { http = '' } = intake.ready;
  t.equal((await fetch(`${http}/healthz`)).status, 200, 'each process tells how it is');
  t.equal((await fetch(`${http}/api/v1/alarms`)).status, 404, 'and is no console');
  const operator = await scene.atScreen('operator', console);
  const number = await (await scene.mqtt('NJ-1103-0001', intake)).alarms('fall');
  await operator.screen?.shows(number, 'as new');
  await scene.at(125);
  scene.asked(t, [...rings(60, number, TOLD), ...rings(120, number, BOTH)]);
  const natt = await scene.person('natt', console);
  await natt.does(number, 'accept');
  await operator.screen?.shows(number, 'with who goes', ({ responder }) => responder === 'natt');
});
