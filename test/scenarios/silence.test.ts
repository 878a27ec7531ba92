/** Scenarios of silence: late, lost and back on the technicians' lane, over a restart and with two centres; and who is not registered. */
import type { DevicePage } from '../../src/console/api-schema.ts';
import { minutes, seconds } from '../../src/base/clock.ts';
import { loadModels } from '../../src/devices/models.ts';
import { JUDGE_EVERY_MS } from '../../src/devices/silence-watch.ts';
import { BEAT_EVERY_MS, SLACK_MS } from '../../src/devices/silence.ts';
import type { Person } from '../support/person.ts';
import { stage } from '../support/centre.ts';

const scenario = await stage();
const MODELS = loadModels('config/models');
const essence = MODELS.get('essence/generic').supervision;
const { lateAfter, lostAfter } = MODELS.get('generic/stationary').supervision;
/** What passes between the end of a limit and the moment at which it is told. */
const TOLD_WITHIN = SLACK_MS + JUDGE_EVERY_MS + 2 * BEAT_EVERY_MS;

async function device(technician: Person, serial: string) {
  const { body } = await technician.get<DevicePage>(`/api/v1/devices?search=${serial}`);
  return body.devices.find((one) => one.serial === serial);
}

await scenario('A unit falls silent: late, then lost, then back; a restart and a second centre change nothing', async (scene, t) => {
  const here = await scene.startCentre();
  const unit = scene.scaip('26317');
  t.match(await unit.act({ name: 'heartbeat' }), [{ result: 'delivered' }]);
  await scene.advance(seconds(200));
  await scene.stopCentre(here);
  await scene.nobodyRunsFor(minutes(24 * 60));
  const again = await scene.startCentre(['intake', 'escalation', 'console'], here.dataDir);
  await scene.startCentre();
  const technician = await scene.person('teknisk');
  await scene.advance(essence.lateAfter - seconds(200));
  t.match(await device(technician, '26317'), { silence: 'none' }, 'nobody could be heard while no centre ran');
  await scene.advance(TOLD_WITHIN);
  t.match(await device(technician, '26317'), { silence: 'late' });
  t.strictSame(await technician.board(), [], 'that is for the list, not for the board');
  await scene.advance(essence.lostAfter - essence.lateAfter);
  const board = await technician.board();
  t.match(board, [
    { device: '26317', kind: 'device-lost', priority: 'technical', signalCount: 1, household: {}, attention: { sounds: 'nobody' } },
  ]);
  t.match(board[0]?.text, /^Ingen livstegn siden 22\.11\. 23\.00, ventet hvert (\d+\. )?minutt$/);
  t.match(await device(technician, '26317'), { silence: 'lost' });
  await scene.advance(minutes(10));
  t.match(await scene.scaip('26317', 'essence', again).act({ name: 'heartbeat' }), [{ result: 'delivered' }]);
  await scene.advance(TOLD_WITHIN);
  t.match(await technician.board('closed'), [{ number: board[0]?.number, outcome: 'restored', signalCount: 1 }]);
  t.match(await device(technician, '26317'), { silence: 'none' });
  t.strictSame(
    (
      await scene.rows<{ role: string }>(`select meaning->>'role' as role from signal where verdict <> 'duplicate' order by received_at`)
    ).map(({ role }) => role),
    ['information', 'technical', 'restore'],
    'each was told once',
  );
  scene.asked(t, []);
});

await scenario('A device is as alive as its last message, not as its last will; in a test window nobody misses it', async (scene, t) => {
  await scene.startCentre();
  const technician = await scene.person('teknisk');
  const worn = await scene.mqtt();
  const other = await scene.mqtt('NJ-1103-0002');
  await worn.publishes('heartbeat', '{}');
  await other.publishes('heartbeat', '{}');
  await scene.settle();
  await scene.rows(`update device set model = 'generic/stationary'`);
  await scene.rows(`update device set test_until = $1 where serial = 'NJ-1103-0002'`, [new Date(scene.clock.now() + lostAfter * 2)]);
  await scene.advance(lateAfter - minutes(1));
  await worn.publishes('status', '{"online": false}');
  await scene.advance(minutes(1) + TOLD_WITHIN);
  t.match(await device(technician, 'NJ-1103-0001'), { silence: 'late' });
  t.match(await device(technician, 'NJ-1103-0002'), { silence: 'none' });
  await worn.publishes('position', '{"position": {"lat": 58.9, "lon": 5.7}}');
  await scene.advance(TOLD_WITHIN);
  t.match(await device(technician, 'NJ-1103-0001'), { silence: 'none' });
  t.strictSame(await technician.board(), []);
});

await scenario('Heartbeats of a unit that nobody registered make one technical entry, also over a restart', async (scene, t) => {
  const here = await scene.startCentre();
  const stranger = scene.scaip('555001', 'possum');
  for (let n = 0; n < 5; n++) {
    t.match(await stranger.act({ name: 'heartbeat' }), [{ result: 'delivered', attempts: 1 }]);
    await scene.advance(seconds(5));
  }
  await scene.stopCentre(here);
  await scene.startCentre(['intake', 'escalation', 'console'], here.dataDir);
  t.match(await scene.scaip('555001', 'possum').act({ name: 'heartbeat' }), [{ result: 'delivered' }]);
  await scene.advance(seconds(5));
  const technician = await scene.person('teknisk');
  t.match(await technician.board(), [
    {
      device: '555001',
      kind: 'fault',
      priority: 'technical',
      signalCount: 1,
      unknownDevice: true,
      text: 'En enhet som ikke er registrert, melder seg med livstegn',
    },
  ]);
  const { body } = await technician.get<DevicePage>('/api/v1/devices?search=555001');
  t.match(body.refusals, [{ source: 'scaip:555001', code: 'unknown-device', count: 6 }], 'all of them are counted');
  scene.asked(t, []);
});
