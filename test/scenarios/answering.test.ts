/** Scenarios of the desk: who answers an alarm, who may not, and what comes back when nobody is there any more. */
import { stage } from '../support/centre.ts';

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
