/** Scenarios of the desk: who answers an alarm, who may not, and what comes back when nobody is there any more. */
import { stage } from '../support/centre.ts';
import { rings } from '../support/phones.ts';

const scenario = await stage();

await scenario('A press is claimed, contact is confirmed, and the alarm is closed; nobody else is bothered', async (scene, t) => {
  await scene.startCentre();
  const operator = await scene.atScreen('operator');
  const device = await scene.mqtt();
  const number = await device.alarms('call-button');
  const shown = await operator.screen?.shows(number, 'sounding for everyone');
  t.match(shown, { state: 'waiting', priority: 'life', kind: 'call-button', attention: { sounds: 'everyone' }, closable: false });
  await scene.at(10);
  await operator.does(number, 'claim');
  const refused = await operator.tries(number, 'close', { outcome: 'helped-by-voice' });
  t.match(refused, { status: 409, body: { code: 'no-confirmed-contact' } }, 'not before somebody has spoken to the person');
  await scene.at(30);
  await operator.does(number, 'confirm-contact', { how: 'voice' });
  await operator.does(number, 'close', { outcome: 'helped-by-voice' });
  await operator.screen?.shows(number, 'closed', ({ state }) => state === 'closed');
  await scene.at(200);
  t.strictSame(await operator.board(), []);
  scene.asked(t, []);
});

await scenario('Two operators claim at once: one has it, the other is told who', async (scene, t) => {
  await scene.startCentre();
  const operators = [await scene.atScreen('operator'), await scene.atScreen('operator2')];
  const device = await scene.mqtt();
  for (let round = 0; round < 5; round++) {
    const number = await device.alarms('fall');
    const answers = await Promise.all(operators.map((operator) => operator.tries(number, 'claim', { version: 1 })));
    t.strictSame(
      answers.map(({ status }) => status).toSorted((a, b) => a - b),
      [200, 409],
    );
    const [won, lost] = answers.toSorted((a, b) => a.status - b.status);
    t.match(lost?.body, { code: 'taken-by-another', by: won?.body.claimedBy });
    const winner = operators.find(({ account }) => account === won?.body.claimedBy);
    for (const { screen } of operators) await screen?.shows(number, 'with its owner', ({ claimedBy }) => claimedBy === winner?.account);
    await winner?.does(number, 'confirm-contact');
    await winner?.does(number, 'close', { outcome: 'false-alarm' });
  }
  scene.asked(t, []);
});

await scenario('The browser of a claim’s owner is gone: the claim is returned 10 s later, the dispatch goes on', async (scene, t) => {
  await scene.startCentre();
  const operator = await scene.atScreen('operator');
  const operator2 = await scene.atScreen('operator2');
  const natt = await scene.person('natt');
  const device = await scene.mqtt();
  const number = await device.alarms('call-button');
  await scene.at(5);
  await operator.does(number, 'claim');
  await operator.does(number, 'dispatch', { to: 'nattpatrulje' });
  await scene.at(20);
  await natt.does(number, 'accept', { etaMinutes: 10 });
  await scene.at(40);
  t.equal((await operator2.alarm(number)).claimedBy, 'operator', 'as long as the page is open');
  await operator.close();
  await scene.at(47);
  t.equal((await operator2.alarm(number)).claimedBy, 'operator', 'a page may be loaded again');
  await scene.at(51);
  const returned = await operator2.screen?.shows(number, 'without owner', ({ claimedBy }) => claimedBy === null);
  t.match(returned, { state: 'responding', responder: 'natt', attention: { interrupted: true } });
  await operator2.does(number, 'claim');
  t.match(await operator2.alarm(number), { state: 'responding', attention: { interrupted: false } });
  await scene.at(120);
  scene.asked(t, rings(5, number, { natt: 'page sms', natt2: 'page sms' }));
});

await scenario(
  'A claim without contact is warned after 3 minutes and waits for everyone a minute later; then the ladder begins',
  async (scene, t) => {
    await scene.startCentre();
    const operator = await scene.atScreen('operator');
    const device = await scene.mqtt();
    const number = await device.alarms('call-button');
    await scene.at(10);
    await operator.does(number, 'claim');
    await scene.at(189);
    t.match(await operator.alarm(number), { attention: { warned: false }, nextDeadline: { what: 'claim-idle' } });
    await scene.at(191);
    await operator.screen?.shows(number, 'warned', ({ attention }) => attention.warned && attention.sounds === 'owner');
    await scene.at(249);
    t.equal((await operator.alarm(number)).claimedBy, 'operator');
    await scene.at(251);
    const waiting = await operator.screen?.shows(number, 'waiting', ({ state }) => state === 'waiting');
    t.match(waiting, { claimedBy: null, attention: { sounds: 'everyone', interrupted: true, warned: false } });
    await scene.at(315);
    scene.asked(t, rings(310, number, { leder: 'page sms', operator2: 'page sms' }));
  },
);

await scenario('A repeat while claimed sounds for the owner; unseen for a minute, for everyone', async (scene, t) => {
  await scene.startCentre();
  const operator = await scene.atScreen('operator');
  const device = await scene.mqtt();
  const number = await device.alarms('call-button');
  await operator.does(number, 'claim');
  await scene.at(20);
  t.equal(await device.alarms('call-button'), number, 'the second press joins');
  await operator.screen?.shows(
    number,
    'with the repeat',
    ({ signalCount, attention }) => signalCount === 2 && attention.sounds === 'owner',
  );
  await scene.at(30);
  await operator.does(number, 'see');
  await scene.at(95);
  t.equal((await operator.alarm(number)).attention.sounds, 'nobody', 'seen in time');
  t.equal(await device.alarms('fall'), number);
  await scene.at(154);
  t.equal((await operator.alarm(number)).attention.sounds, 'owner');
  await scene.at(156);
  const loud = await operator.screen?.shows(number, 'for everyone', ({ attention }) => attention.sounds === 'everyone');
  t.match(loud, { state: 'claimed', claimedBy: 'operator', signalCount: 3 }, 'it is still the owner’s');
  const overtaken = await operator.tries(number, 'confirm-contact');
  t.equal(overtaken.status, 200);
  t.match(await operator.tries(number, 'close', { outcome: 'test', version: 2 }), { status: 409, body: { code: 'overtaken' } });
  await operator.does(number, 'close', { outcome: 'helped-by-voice', version: overtaken.body.version });
  scene.asked(t, []);
});

await scenario('For Sola’s operator the alarms of Stavanger do not exist', async (scene, t) => {
  await scene.startCentre();
  const sola = await scene.atScreen('sola');
  const operator = await scene.atScreen('operator');
  const stavanger = await (await scene.mqtt('NJ-1103-0001')).alarms('fall');
  const tananger = await (await scene.mqtt('NJ-1124-0001')).alarms('call-button');
  await sola.screen?.shows(tananger, 'as new');
  await operator.screen?.shows(stavanger, 'as new');
  await scene.at(70);
  const commands = [
    { command: 'claim' },
    { command: 'confirm-contact' },
    { command: 'dispatch', to: 'nattpatrulje' },
    { command: 'note', text: 'x' },
    { command: 'close' },
    { command: 'override-contact', reason: 'x' },
    { command: 'accept' },
  ];
  for (const { command, ...more } of commands) {
    t.match(await sola.tries(stavanger, command, more), { status: 404, body: { code: 'unknown-alarm' } }, command);
  }
  for (const path of [`alarms/${stavanger}`, `alarms/${stavanger}/card`, `dispatch-targets?alarm=${stavanger}`]) {
    t.equal((await sola.get(`/api/v1/${path}`)).status, 404, path);
  }
  await operator.does(stavanger, 'claim');
  await operator.does(stavanger, 'confirm-contact');
  await operator.does(stavanger, 'close', { outcome: 'helped-by-voice' });
  await operator.screen?.shows(stavanger, 'closed', ({ state }) => state === 'closed');
  await scene.at(80);
  t.strictSame(
    (await sola.board()).map(({ number }) => number),
    [tananger],
  );
  t.strictSame(await sola.board('closed'), []);
  const messages = sola.screen?.messages ?? [];
  t.notMatch(JSON.stringify(messages), new RegExp(`"${stavanger}"|"1103"|NJ-1103`), 'nothing came over the socket');
  const counted = messages.flatMap((message) => ('counts' in message ? [message.counts.life] : []));
  t.ok(counted.length > 5 && counted.every((life) => life <= 1), 'nor was it counted');
  t.match(await sola.does(tananger, 'claim'), { state: 'claimed', claimedBy: 'sola' });
});
